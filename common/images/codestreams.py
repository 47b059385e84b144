"""Reads what a JPEG or JPEG 2000 codestream says of its samples, without decoding it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_SIZ = b"\xff\x4f\xff\x51"
#: Frames that are followed by Huffman or arithmetic coded data; C4, C8 and CC are no frames.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


@dataclass(frozen=True, slots=True)
class Codestream:
    width: int
    height: int
    bands: int
    #: The most that a band has.
    bits: int
    #: Whether a band has negative values.
    signed: bool = False
    #: Of a JPEG: without loss (SOF3 and the like), which is another method.
    lossless: bool = False


def jpeg_markers(data: bytes) -> Iterator[tuple[int, int]]:
    """A JPEG's markers that segments follow, and where each stands; coded data are no segments: stop at a scan (DA)."""
    at = 2
    while 0 <= at < len(data) - 4:
        marker = data[at + 1]
        if data[at] != 0xFF or marker == 0:
            at = data.find(b"\xff", at + 1)  # rubbish between segments is skipped, as libjpeg does
        elif marker == 0xFF:
            at += 1
        elif marker == 0x01 or 0xD0 <= marker <= 0xD9:
            at += 2
        else:
            yield marker, at
            at += 2 + int.from_bytes(data[at + 2 : at + 4])


def jpeg_stream(data: bytes) -> Codestream | None:
    """The first frame of a JPEG; None where there is none before its first scan."""
    for marker, at in jpeg_markers(data):
        if marker == 0xDA or at + 10 > len(data):
            return None
        if marker in _FRAMES:
            bits, height, width, bands = struct.unpack_from(">BHHB", data, at + 4)
            return Codestream(width, height, bands, bits, lossless=marker & 3 == 3)
    return None


def jpeg2000_start(data: bytes) -> int:
    """Where the codestream of a JPEG 2000 file begins, or one alone; -1 where there is none.

    The boxes are walked as OpenJPEG does: another codestream may lie in one that is passed over.
    """
    if data.startswith(_SIZ):
        return 0
    at = 0
    while True:
        size, name, head = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8], 8
        if size == 1:
            size, head = int.from_bytes(data[at + 8 : at + 16]), 16
        if name == b"jp2c":
            at += head
            return at if data[at : at + 4] == _SIZ else -1
        if size < head or at + size >= len(data):
            return -1
        at += size


def jpeg2000_stream(data: bytes) -> Codestream | None:
    """What the codestream of a JPEG 2000 file, or one alone, says; None where there is none."""
    at = jpeg2000_start(data)
    if at < 0 or len(data) < at + 42:
        return None
    right, lower, left, upper = struct.unpack_from(">4I", data, at + 8)
    bands = int.from_bytes(data[at + 40 : at + 42])
    sizes = data[at + 42 : at + 42 + 3 * bands : 3]
    if not sizes or len(sizes) < bands:
        return None
    bits = max((size & 0x7F) + 1 for size in sizes)
    return Codestream(right - left, lower - upper, bands, bits, signed=any(size & 0x80 for size in sizes))
