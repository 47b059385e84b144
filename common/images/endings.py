"""Completes files that lack only their formal end, and finds those that lack pixels."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator

from common.images import jpeg
from common.images.apng import first_frame
from common.images.codestreams import jpeg2000_start
from common.images.headers import is_cut

_IEND = b"\0\0\0\0IEND\xaeB`\x82"
_EOC = b"\xff\xd9"
_WEBP_EXIF_FLAG = 0x08


def completed(kind: str, data: bytes) -> bytes | None:
    """`data`, with its end where that is all that was missing; None where pixels are missing. Raises MemoryError.

    Some formats can be told only by decoding: check the picture's size before.
    """
    complete = _COMPLETE.get(kind)
    if complete is not None and _has_no_end(kind, data):
        return complete(data)
    return None if is_cut(kind, data) else data


def reframed(data: bytes) -> bytes:
    """A WebP with the length that its chunks have, where its own is wrong and the picture is whole; else `data` itself.

    Most often one byte of padding was left out, or the writer counted 8 bytes too many.
    """
    said = 8 + int.from_bytes(data[4:8], "little")
    end, names, flags = 12, set(), 0
    while end + 8 <= len(data):
        name, size = data[end : end + 4], int.from_bytes(data[end + 4 : end + 8], "little")
        if not name.rstrip(b" ").isalnum() or end + 8 + size > len(data):
            break
        if name == b"VP8X" and size:
            flags = data[end + 8]
        names.add(name)
        end += 8 + size + (size & 1)
        if said == end <= len(data):
            return data
    if not names & {b"VP8 ", b"VP8L", b"ANMF"} or (flags & _WEBP_EXIF_FLAG and b"EXIF" not in names):
        return data  # without its EXIF nobody knows which side is up
    return data[:4] + struct.pack("<I", end - 8) + data[8:end].ljust(end - 8, b"\0")


def _has_no_end(kind: str, data: bytes) -> bool:
    match kind:
        case "PNG":
            return not 0 <= data.rfind(b"IEND") <= len(data) - 8
        case "GIF":
            return not data.endswith(b";")
        case "BMP":
            return True
    return is_cut(kind, data)


def _png(data: bytes) -> bytes | None:
    at = 8
    # What follows may be zeros that a copy was filled up with.
    while (end := at + 12 + int.from_bytes(data[at : at + 4])) <= len(data) and data[at + 4 : at + 8].isalpha():
        at = end
    if data[at + 4 : at + 8] == b"eXIf":  # it would say which side is up
        return None
    whole = data[:at] + _IEND
    frame = first_frame(whole)
    return whole if frame is not None and _inflates(frame.data) else None


def _inflates(png: bytes) -> bool:
    """Whether the compressed pixels have an end with a right checksum."""
    width, height = struct.unpack_from(">2I", png, 16)
    left = 2 * height * (8 * width + 1)  # bytes: twice what any PNG of this size has
    pixels, at = zlib.decompressobj(), 8
    while at < len(png):
        length = int.from_bytes(png[at : at + 4])
        piece = png[at + 8 : at + 8 + length] if png[at + 4 : at + 8] == b"IDAT" else b""
        try:
            while piece and left > 0 and not pixels.eof:
                left -= len(pixels.decompress(piece, 1 << 20))
                piece = pixels.unconsumed_tail
        except zlib.error:
            return False
        at += 12 + length
    return pixels.eof


def _gif(data: bytes) -> bytes:
    """The first picture, without what follows it; what is missing of that, the decoder finds."""
    kept = data.rstrip(b"\0")  # the end of its blocks, or what a failed copy was filled up with
    end = _gif_picture_end(kept)
    if end is None or end > len(kept) + 1:
        return data
    # Where only the last zero is missing, it stops between two blocks, the last or others: the decoder finds out.
    return kept[:end].ljust(end, b"\0") + b";"


def _gif_picture_end(data: bytes) -> int | None:
    """Behind the zero that ends the first picture's blocks; one more than there is where only that zero is missing."""
    at = 13 + _gif_colours(data, 10)
    while at < len(data):
        picture = data[at] == 0x2C
        if picture:
            at += 11 + _gif_colours(data, at + 9)
        elif data[at] == 0x21:
            at += 2
        else:
            return None
        while at < len(data) and data[at]:
            at += data[at] + 1
        at += 1
        if picture:
            return at
    return None


def _gif_colours(data: bytes, at: int) -> int:
    """Bytes of the colour table that the flags at `at` announce."""
    return 3 << (data[at] & 7) + 1 if at < len(data) and data[at] & 0x80 else 0


def _bmp(data: bytes) -> bytes:
    """With the padding of the last row, which some writers leave out. What else is missing, the decoder finds."""
    if len(data) < 34 or int.from_bytes(data[14:18], "little") < 40 or data[30] not in (0, 3):
        return data
    start, width, height, bits = struct.unpack_from("<I4xii2xH", data, 10)
    row = (width * bits + 7) // 8
    missing = start + (row + 3) // 4 * 4 * abs(height) - len(data)
    return data + bytes(missing) if 0 < missing <= -row % 4 else data


def _jpeg2000(data: bytes) -> bytes | None:
    """Where every tile has all the parts that it announces."""
    start = jpeg2000_start(data)
    if start < 0 or len(data) < start + 42:
        return None
    right, bottom, _, _, width, height, left, top = struct.unpack_from(">8I", data, start + 8)
    if not width or not height:
        return None
    tiles = -((left - right) // width) * -((top - bottom) // height)
    announced: dict[int, int] = {}
    counted: dict[int, int] = {}
    end = len(data)
    for behind, tile, parts in _tile_parts(data, start):
        end = behind
        counted[tile] = counted.get(tile, 0) + 1
        announced[tile] = parts or announced.get(tile, 0)
    if len(counted) != tiles or counted != announced or data[end:] not in (b"", b"\xff"):
        return None
    return data[:end] + _EOC


def _tile_parts(data: bytes, start: int) -> Iterator[tuple[int, int, int]]:
    """Where each whole part ends, its tile's number, and how many parts that tile has (0: not said)."""
    at = start + 2
    while at + 4 <= len(data) and data[at : at + 2] != b"\xff\x90":
        at += 2 + int.from_bytes(data[at + 2 : at + 4])
    while at + 12 <= len(data) and data[at : at + 2] == b"\xff\x90":
        tile, length, _, parts = struct.unpack_from(">HIBB", data, at + 4)
        if length < 14 or at + length > len(data):
            return
        at += length
        yield at, tile, parts


_COMPLETE: dict[str, Callable[[bytes], bytes | None]] = {
    "BMP": _bmp,
    "GIF": _gif,
    "JPEG": jpeg.completed,
    "JPEG 2000": _jpeg2000,
    "PNG": _png,
}
