"""Decodes the strips or tiles of a TIFF's first page into one array, and holds each to what the page declares."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tifffile

from common.images.depth import Samples
from common.images.errors import corrupt, truncated, unsupported
from common.images.tiff import declared
from common.images.tiff.grid import Grid
from common.images.tiff.layout import (
    BLACK_IS_ZERO,
    JPEG,
    LZW,
    PACKED,
    PALETTE,
    RGB,
    WHITE_IS_ZERO,
    Layout,
)
from common.images.tiff.ycbcr import unsubsample

#: Pixels a side. TIFF 6.0 has no tiles of less, and each piece costs as much time as a thousand pixels.
_SMALL = 16
#: Pieces of less that are decoded. Strips are small only in pictures that are hardly wider than a line.
_MOST_SMALL_TILES, _MOST_SMALL_STRIPS = 4096, 1 << 16


def read_samples(layout: Layout, grid: Grid, data: bytes) -> Samples:
    """(height, width, bands), or (height, width) of one band, in the page's own number type.

    JPEG gives RGB for YCbCr; all else is as stored. Raises ItemError, MemoryError, and whatever a
    codec does for broken data.
    """
    _check_pieces(layout, grid, data)
    if _is_whole(layout):
        planes = _at_once(layout, data)
    elif _is_plain_lzw(layout):
        planes = _by_libtiff(layout, data)
    else:
        planes = _piece_by_piece(layout, grid, data)
    if len(planes) > 1:
        return np.moveaxis(planes[..., 0], 0, -1)
    return planes[0, ..., 0] if layout.bands == 1 else planes[0]


def _check_pieces(layout: Layout, grid: Grid, data: bytes) -> None:
    page = layout.page
    small = min(grid.piece_width, grid.piece_height) < _SMALL if page.is_tiled else grid.piece_width < _SMALL
    if small and grid.count > (_MOST_SMALL_TILES if page.is_tiled else _MOST_SMALL_STRIPS):
        size = f"{grid.piece_width} x {grid.piece_height} pixels"
        raise unsupported(f"TIFF of {grid.count} {'tiles' if page.is_tiled else 'strips'} of {size} ({layout})")
    pieces = [*zip(page.dataoffsets, page.databytecounts, strict=False)][: grid.count]
    if len(pieces) < grid.count:
        raise corrupt("TIFF")
    if missing := sum(1 for offset, count in pieces if offset == 0 or count == 0):
        raise unsupported(f"TIFF of {layout}, without the data of {missing} of its {len(pieces)} strips or tiles")
    if max(offset + count for offset, count in pieces) > len(data):
        raise truncated(data)


def _is_whole(layout: Layout) -> bool:
    """Whether its samples lie in the file as they will in memory."""
    page = layout.page
    return bool(page.is_contiguous and page.fillorder == 1 and page.predictor == 1 and not layout.subsampled)


def _is_plain_lzw(layout: Layout) -> bool:
    """What libtiff gives as it is stored; it makes RGB of some other layouts."""
    plain = layout.photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE)
    return plain and layout.compression == LZW and layout.bits in (8, 16) and layout.ranged


def _at_once(layout: Layout, data: bytes) -> Samples:
    page = layout.page
    dtype = np.dtype(page.parent.byteorder + page.dtype.char)
    count, start = math.prod(page.shaped), page.dataoffsets[0]
    if start + count * dtype.itemsize > len(data):
        raise truncated(data)
    planes = np.frombuffer(data, dtype, count, start).reshape(page.shaped)[:, 0]
    return planes if dtype.isnative else planes.astype(dtype.newbyteorder("="))


def _by_libtiff(layout: Layout, data: bytes) -> Samples:
    """For LZW alone, where it is twice as fast, and reads what was written before the format was changed."""
    import imagecodecs

    samples = imagecodecs.tiff_decode(data, index=0, verbose=0)
    planes, _, height, width, bands = layout.page.shaped
    whole = (planes, height, width) if layout.planar else (height, width, bands)
    if samples.dtype != layout.page.dtype or samples.shape != whole[: samples.ndim] or samples.size != math.prod(whole):
        raise corrupt("TIFF")
    return samples.reshape(planes, height, width, bands)


def _piece_by_piece(layout: Layout, grid: Grid, data: bytes) -> Samples:
    page = layout.page
    planes, _, height, width, bands = page.shaped
    samples = np.empty((planes, height, width, bands), page.dtype)
    for index in range(grid.count):
        start = page.dataoffsets[index]
        piece = declared.checked(data[start : start + page.databytecounts[index]], layout, grid)
        plane, top, left, rows, columns = grid.place(index)
        part = _decoded(layout, grid, piece, index)
        if (
            (part.dtype != page.dtype and layout.bits > 1)
            or part.shape[2] != bands
            or len(part) < rows
            or part.shape[1] < columns
        ):
            raise corrupt("TIFF")
        samples[plane, top : top + rows, left : left + columns] = part[:rows, :columns]
    return samples


def _decoded(layout: Layout, grid: Grid, piece: bytes, index: int) -> Samples:
    """One strip or tile, (rows, columns, bands), at least what of it is inside the picture."""
    page = layout.page
    if layout.compression == JPEG and layout.planar:
        import imagecodecs

        return imagecodecs.jpeg8_decode(piece, tables=page.jpegtables)[..., None]
    if layout.subsampled:
        return unsubsample(layout, grid, tifffile.TIFF.DECOMPRESSORS[layout.compression], piece, index)
    tables: dict[str, Any] = {"jpegtables": page.jpegtables} if layout.compression == JPEG else {}
    try:
        return page.decode(piece, index, **tables)[0][0]  # type: ignore[no-any-return]
    except Exception:
        if page.is_tiled or layout.compression not in PACKED or grid.place(index).rows == grid.piece_height:
            raise
    return page.decode(_trimmed(layout, grid, piece, index), index)[0][0]  # type: ignore[no-any-return]


def _trimmed(layout: Layout, grid: Grid, piece: bytes, index: int) -> bytes:
    """A last strip without the rows beyond the picture that some programs fill it up with; libtiff passes over them."""
    row = -(-grid.width * (1 if layout.planar else layout.bands) * layout.bits // 8)
    whole = tifffile.TIFF.DECOMPRESSORS[layout.compression](piece, out=row * grid.piece_height)
    return bytes(tifffile.TIFF.COMPRESSORS[layout.compression](bytes(whole[: row * grid.place(index).rows])))
