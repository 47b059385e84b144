"""YCbCr samples of a TIFF, and their colours."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from common.images.depth import Bytes, Samples
from common.images.errors import corrupt
from common.images.tiff.grid import Grid
from common.images.tiff.layout import Layout

_COEFFICIENTS, _REFERENCE = 529, 532


def unsubsample(layout: Layout, grid: Grid, decompress: Callable[..., Any], piece: bytes, index: int) -> Samples:
    """One strip or tile of shared chroma, (rows, columns, 3): for each block of pixels its lumas, then Cb and Cr."""
    across, down = layout.page.subsampling or (2, 2)
    rows = grid.piece_height if layout.page.is_tiled else grid.place(index).rows
    units = (-(-rows // down), -(-grid.piece_width // across), across * down + 2)
    size = units[0] * units[1] * units[2]
    raw = np.frombuffer(decompress(piece, out=size), np.uint8)
    if raw.size < size:
        raise corrupt("TIFF")
    blocks = raw[:size].reshape(units)
    luma = blocks[..., :-2].reshape(*units[:2], down, across).swapaxes(1, 2).reshape(units[0] * down, -1)
    chroma = blocks[..., -2:].repeat(down, 0).repeat(across, 1)
    return np.dstack([luma, chroma])


def to_rgb(layout: Layout, samples: Bytes) -> Bytes:
    """As TIFF 6.0, section 21, says: reference black and white, then the luma's coefficients."""
    tags = layout.page.tags
    red, green, blue = map(_ratio, _pairs(tags.valueof(_COEFFICIENTS), (299, 1000, 587, 1000, 114, 1000)))
    reference = [*map(_ratio, _pairs(tags.valueof(_REFERENCE), (0, 1, 255, 1, 128, 1, 255, 1, 128, 1, 255, 1)))]
    y, cb, cr = (
        (samples[..., band].astype(np.float32) - reference[2 * band])
        * (most / ((reference[2 * band + 1] - reference[2 * band]) or 1))
        for band, most in enumerate((255.0, 127.0, 127.0))
    )
    r = y + cr * (2 - 2 * red)
    b = y + cb * (2 - 2 * blue)
    g = (y - b * blue - r * red) / (green or 1)
    return np.dstack([r, g, b]).round().clip(0, 255).astype(np.uint8)


def _pairs(value: Any, default: tuple[int, ...]) -> list[tuple[int, int]]:
    """Fractions as tifffile gives them: numerators and denominators in turn."""
    flat = value if isinstance(value, tuple) and len(value) == len(default) else default
    return [(int(flat[at]), int(flat[at + 1])) for at in range(0, len(flat), 2)]


def _ratio(pair: tuple[int, int]) -> float:
    return float(Fraction(*pair)) if pair[1] else 0.0
