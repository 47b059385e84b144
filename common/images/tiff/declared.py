"""Holds a strip or tile to the page: formats with a header of their own are decoded as large as that says."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable

from PIL import WebPImagePlugin

from common.images.codestreams import Codestream, jpeg2000_stream, jpeg_stream
from common.images.errors import corrupt, unsupported
from common.images.tiff.grid import Grid
from common.images.tiff.jpeg import check_whole
from common.images.tiff.layout import (
    JPEG,
    JPEG2000,
    JPEG2000_RGB,
    LERC,
    LERC_PARAMETERS,
    WEBP,
    Layout,
)

#: Bits of LERC's number types.
_LERC_BITS = (8, 8, 16, 16, 32, 32, 32, 64)
#: Bytes that LERC may take more than the samples themselves.
_LERC_EXTRA = 1 << 16


def checked(piece: bytes, layout: Layout, grid: Grid) -> bytes:
    """The piece, without what GDAL packs LERC in. Raises ItemError: corrupt, unsupported."""
    if layout.compression not in _READERS:
        return piece
    bands = 1 if layout.planar else layout.bands
    if layout.compression == LERC:
        most = grid.piece_width * grid.piece_height * bands * layout.bits // 8 + _LERC_EXTRA
        piece = _unpacked(piece, (layout.page.tags.valueof(LERC_PARAMETERS) or (0, 0))[1], most)
        if not piece.startswith(b"Lerc2 "):
            raise unsupported(f"TIFF of {layout} of another version")
    stream = _READERS[layout.compression](piece)
    if stream is None or stream.width > grid.piece_width or stream.height > grid.piece_height:
        raise corrupt("TIFF")
    if stream.bits != layout.bits or stream.signed or stream.lossless:
        raise unsupported(f"TIFF of {layout}, of {stream.bits} bits inside")
    if stream.bands != bands and not (layout.compression == WEBP and bands == 4):
        raise unsupported(f"TIFF of {layout}, of {stream.bands} bands inside")
    if layout.compression == JPEG:
        check_whole(piece, layout.page.jpegtables)
    return piece


def _unpacked(piece: bytes, method: int, most: int) -> bytes:
    import imagecodecs

    if method == 1:
        return bytes(imagecodecs.deflate_decode(piece, out=most))
    if method == 2:
        return bytes(imagecodecs.zstd_decode(piece, out=most))
    return piece


def _webp(piece: bytes) -> Codestream | None:
    width, height = WebPImagePlugin.WebPImageFile(io.BytesIO(piece)).size
    return Codestream(width, height, bands=3, bits=8)  # an opaque alpha is left out by encoders, and put in by decoders


def _lerc(piece: bytes) -> Codestream | None:
    """The head of a LERC2 blob: mark, version, checksum from 3 on, rows, columns, bands from 4 on, ..., number type."""
    version: int = struct.unpack_from("<i", piece, 6)[0]
    at = 14 if version >= 3 else 10
    if version >= 4:
        rows, columns, bands = struct.unpack_from("<3i", piece, at)
        at += 12
    else:
        (rows, columns), bands = struct.unpack_from("<2i", piece, at), 1
        at += 8
    kind: int = struct.unpack_from("<i", piece, at + 12)[0]
    return Codestream(columns, rows, bands, _LERC_BITS[kind])


_READERS: dict[int, Callable[[bytes], Codestream | None]] = {
    JPEG: jpeg_stream,
    JPEG2000: jpeg2000_stream,
    JPEG2000_RGB: jpeg2000_stream,
    LERC: _lerc,
    WEBP: _webp,
}
