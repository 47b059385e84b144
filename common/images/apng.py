"""A PNG's bytes in, its first frame as a PNG without animation out.

OpenCV decodes animated PNGs by code of its own, which a damaged one kills (4.14: SIGSEGV, libpng's jump back to a
function that has returned), takes wrong checksums, and divides 16 bits by 255. What it decodes here has one frame.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

_SIGNATURE = 8
_ANIMATION = (b"acTL", b"fcTL", b"fdAT")


@dataclass(frozen=True, slots=True)
class Frame:
    """A PNG of one frame, and its place in the whole picture; what it leaves free there is black."""

    data: bytes
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Pixels: the whole picture's size, and where in it the frame's top left corner lies."""

    width: int
    height: int
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class _Chunk:
    name: bytes
    #: With length, name and checksum.
    whole: bytes

    @property
    def body(self) -> bytes:
        return self.whole[8:-4]

    def turned_into(self, name: bytes, body: bytes) -> bytes:
        """Another chunk, whose checksum is wrong if this one's is."""
        error = zlib.crc32(self.whole[4:-4]) ^ int.from_bytes(self.whole[-4:])
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body) ^ error)


def first_frame(data: bytes) -> Frame | None:
    """`data` itself where nothing is animated; None where the animation contradicts itself.

    Chunks must lie within the data: ask `headers.overruns` before.
    """
    if b"acTL" not in data:
        return Frame(data)
    chunks = list(_chunks(data))
    names = [chunk.name for chunk in chunks]
    pixels = names.index(b"IDAT") if b"IDAT" in names else len(names)
    if b"acTL" not in names[:pixels]:
        return Frame(data)
    controls = [at for at, name in enumerate(names) if name == b"fcTL"]
    if not controls or controls[0] < pixels:  # the pixels that every viewer shows are the first frame
        return Frame(data[:_SIGNATURE] + b"".join(c.whole for c in chunks if c.name not in _ANIMATION))
    return _frame_apart(data[:_SIGNATURE], chunks, controls)


def _frame_apart(signature: bytes, chunks: list[_Chunk], controls: list[int]) -> Frame | None:
    """The pixels that viewers without animation show are no part of it: the first frame has its own."""
    header, control = chunks[0].body, chunks[controls[0]].body
    if (chunks[0].name, len(header), len(control)) != (b"IHDR", 13, 26):
        return None
    place = Place(*struct.unpack_from(">2I", header), *struct.unpack_from(">2I", control, 12))
    width, height = struct.unpack_from(">2I", control, 4)
    if place.x + width > place.width or place.y + height > place.height:
        return None
    end = controls[1] if len(controls) > 1 else len(chunks)
    parts = [signature, chunks[0].turned_into(b"IHDR", control[4:12] + header[8:])]
    for at, chunk in enumerate(chunks[1:], start=1):
        if chunk.name == b"fdAT" and controls[0] < at < end:
            parts.append(chunk.turned_into(b"IDAT", chunk.body[4:]))
        elif chunk.name not in (*_ANIMATION, b"IDAT"):
            parts.append(chunk.whole)
    return Frame(b"".join(parts), place)


def _chunks(data: bytes) -> Iterator[_Chunk]:
    at, name = _SIGNATURE, b""
    while at < len(data) and name != b"IEND":
        name = data[at + 4 : at + 8]
        end = at + 12 + int.from_bytes(data[at : at + 4])
        yield _Chunk(name, data[at:end])
        at = end
