"""A file's bytes in, out come the places where its format keeps sizes, counts, offsets and kinds.

The file may be broken already: what cannot be followed any further is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Order = Literal["big", "little"]

_NAMED_BOXES = re.compile(
    rb"jp2h|ihdr|colr|jp2c|meta|iloc|iprp|ipco|ispe|pixi|av1C|iinf|irot|imir|pclr|cmap"
    rb"|hvcC|pitm|iref|dimg|auxl|ipma|infe|clap|idat"
)
#: Fields. A walk through a broken file could go on for as long as the file.
_MOST = 400


@dataclass(frozen=True, slots=True)
class Field:
    """`size` bytes at `at` that are read as one unsigned number."""

    at: int
    size: int
    order: Order


def find(data: bytes) -> list[Field]:
    """All fields that lie within the data; none for a format that is not known."""
    for start, walk in _WALKS:
        if start.match(data):
            found = []
            for field in walk(data):
                if field.at >= 0 and field.at + field.size <= len(data):
                    found.append(field)
                if len(found) == _MOST:
                    break
            return found
    return []


def _number(data: bytes, at: int, size: int, order: Order) -> int:
    return int.from_bytes(data[at : at + size], order)


def _row(at: int, order: Order, *sizes: int) -> Iterator[Field]:
    """Fields that follow each other."""
    for size in sizes:
        yield Field(at, size, order)
        at += size


def _jpeg(data: bytes) -> Iterator[Field]:
    at = 2
    while 0 <= at < len(data) - 4:
        marker, length = data[at + 1], _number(data, at + 2, 2, "big")
        yield from _row(at + 1, "big", 1, 2)
        if marker in range(0xC0, 0xD0) and marker not in (0xC4, 0xC8, 0xCC):
            # Precision, height, width, components; then name, sampling and table of each.
            yield from _row(at + 4, "big", 1, 2, 2, 1, *[1] * 9)
        elif marker == 0xDD:
            yield Field(at + 4, 2, "big")  # restart interval
        elif marker in (0xC4, 0xDB):
            yield from _row(at + 4, "big", *[1] * 17)
        elif marker == 0xDA:
            yield from _row(at + 4, "big", *[1] * 10)
            at = data.find(b"\xff\xc4", at + 2)  # a progressive file has more scans
            continue
        at = data.find(b"\xff", at + 2 + length)


def _png(data: bytes) -> Iterator[Field]:
    at = 8
    while at < len(data):
        length, name = _number(data, at, 4, "big"), data[at + 4 : at + 8]
        yield Field(at, 4, "big")
        if name in (b"IHDR", b"fcTL", b"acTL"):
            yield from _row(at + 8, "big", 4, 4, 1, 1, 1, 1, 1)
        at += length + 12


def _gif(data: bytes) -> Iterator[Field]:
    yield from _row(6, "little", 2, 2, 1, 1)
    at = 13 + (3 << (data[10] & 7) + 1 if len(data) > 10 and data[10] & 0x80 else 0)
    while at < len(data):
        if data[at] == 0x2C:
            # Left, top, width, height, flags, least code size.
            yield from _row(at + 1, "little", 2, 2, 2, 2, 1, 1)
            flags = data[at + 9] if at + 9 < len(data) else 0
            at += 11 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
        elif data[at] == 0x21:
            at += 2
        else:
            return
        while at < len(data) and data[at]:
            yield Field(at, 1, "little")
            at += data[at] + 1
        at += 1


def _webp(data: bytes) -> Iterator[Field]:
    yield Field(4, 4, "little")
    at = 12
    while at < len(data):
        name, length = data[at : at + 4], _number(data, at + 4, 4, "little")
        yield Field(at + 4, 4, "little")
        if name == b"VP8X":
            yield from _row(at + 8, "little", 1, 3, 3, 3)
        elif name == b"VP8 ":
            yield from _row(at + 8, "little", 3, 3, 2, 2)
        elif name == b"VP8L":
            yield from _row(at + 8, "little", 1, 4)
        elif name == b"ANMF":
            yield from _row(at + 8, "little", 3, 3, 3, 3, 3, 1)
        at += 8 + (24 if name == b"ANMF" else length + (length & 1))


def _tiff(data: bytes) -> Iterator[Field]:
    order: Order = "little" if data.startswith(b"I") else "big"
    big = _number(data, 2, 2, order) == 43
    # BigTIFF: every count and offset has 8 bytes.
    word, count, entry = (8, 8, 20) if big else (4, 2, 12)
    next_at, seen = word, set()
    while next_at not in seen and next_at + word <= len(data):
        seen.add(next_at)
        yield Field(next_at, word, order)
        at = _number(data, next_at, word, order)
        yield Field(at, count, order)
        entries = min(_number(data, at, count, order), 64)
        for tag in range(entries):
            yield from _row(at + count + tag * entry, order, 2, 2, word, word)
        next_at = at + count + entries * entry


def _bmp(data: bytes) -> Iterator[Field]:
    yield from _row(2, "little", 4, 2, 2, 4)
    yield from _row(14, "little", 4, 4, 4, 2, 2, 4, 4, 4, 4, 4, 4)


def _boxes(data: bytes) -> Iterator[Field]:
    """ISO boxes of JPEG 2000, AVIF and HEIC, nested ones found by their names."""
    at = 0
    while at + 8 <= len(data):
        yield Field(at, 4, "big")
        at += max(_number(data, at, 4, "big"), 8)
    for name in _NAMED_BOXES.finditer(data):
        yield from _row(name.start() - 4, "big", 4, 4, 4, 4, 4, 2, 2)
    codestream = data.find(b"\xff\x4f\xff\x51")
    if codestream >= 0:
        yield from _codestream(data, codestream)


def _codestream(data: bytes, start: int = 0) -> Iterator[Field]:
    """JPEG 2000: capabilities, size, offset, tile size, tile offset, components; then the segments behind."""
    yield from _row(start + 4, "big", 2, 2, *[4] * 8, 2, *[1] * 9)
    at = start + 4 + _number(data, start + 4, 2, "big")
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0x93:
        yield from _row(at + 1, "big", 1, 2, *[1] * 10)
        at += 2 + _number(data, at + 2, 2, "big")


_WALKS = (
    (re.compile(rb"\xff\xd8"), _jpeg),
    (re.compile(rb"\x89PNG"), _png),
    (re.compile(rb"GIF8"), _gif),
    (re.compile(rb"RIFF"), _webp),
    (re.compile(rb"II[*+]|MM\0[*+]"), _tiff),
    (re.compile(rb"BM"), _bmp),
    (re.compile(rb"\xff\x4f\xff\x51"), _codestream),
    (re.compile(rb"\0\0.{2}(?:jP|ftyp)", re.DOTALL), _boxes),
)
