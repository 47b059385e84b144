"""Maps samples of any number type to 8 bits: their whole range, or the range that --scale gives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from common.images.scale import Scale

Samples = npt.NDArray[Any]
Bytes = npt.NDArray[np.uint8]

#: Samples that are mapped at once where they need 8 bytes each on the way.
_AT_ONCE = 1 << 22


def to_bytes(samples: Samples, top: int, scale: Scale | None = None) -> Bytes:
    """Unsigned samples from 0 to `top`, at most 65535, as 8 bits; `scale` is for a top over 255 only.

    Up to 255, a value v becomes 255 v / top, rounded to the nearest, halves up. Above, it is v * 256 // (top + 1),
    which for 16 bits divides by 256, for 12 bits by 16. With a scale see `scaled`.
    """
    if top > 255 and scale is not None:
        if scale.percent:
            return scaled(samples, scale)
        return scaled(np.arange(top + 1, dtype=np.uint16), scale)[samples]
    if samples.dtype == np.bool_:
        samples = samples.view(np.uint8)
    if top == 255:
        return samples.astype(np.uint8, copy=False)
    if top > 255 and (top + 1).bit_count() == 1:
        shift = top.bit_length() - 8
        return np.right_shift(samples, shift, dtype=np.uint16).astype(np.uint8)
    values = np.arange(top + 1)
    mapped = (values * 255 + top // 2) // top if top < 255 else values * 256 // (top + 1)
    return mapped.astype(np.uint8)[samples]


def scaled(samples: Samples, scale: Scale) -> Bytes:
    """Samples of any real type as 8 bits: 255 (v - low) / (high - low), clipped to 0..255 and cut to a whole number.

    Percentiles are those of all finite samples together, interpolated linearly as numpy.percentile does. What is no
    number becomes 0.
    """
    low, high = _bounds(samples, scale)
    mapped = np.empty(samples.shape, np.uint8)
    for rows in _pieces(samples):
        part = samples[rows].astype(np.float64)
        if high > low:
            with np.errstate(invalid="ignore", over="ignore"):
                part = 255 * ((part - low) / (high - low)).clip(0, 1)
        else:
            part = np.where(part > low, 255.0, 0.0)  # percentiles of an image of one value
        mapped[rows] = np.nan_to_num(part, nan=0.0).astype(np.uint8)
    return mapped


def _bounds(samples: Samples, scale: Scale) -> tuple[float, float]:
    if not scale.percent:
        return scale.low, scale.high
    if samples.dtype.kind == "f":
        samples = samples[np.isfinite(samples)]
    if samples.size == 0:
        return 0.0, 0.0
    asked = (scale.low, scale.high)
    if samples.dtype.kind == "u" and samples.dtype.itemsize == 2:
        return _of_counts(np.bincount(samples.ravel(), minlength=1 << 16), asked)
    low, high = np.percentile(samples if samples.dtype.kind != "f" else samples.astype(np.float64), asked)
    return float(low), float(high)


def _of_counts(counts: npt.NDArray[np.int64], percents: tuple[float, float]) -> tuple[float, float]:
    """numpy.percentile of 16-bit values from how often there is each: a sort of all of them would take seconds."""
    ends = np.cumsum(counts)
    last = int(ends[-1]) - 1
    found = []
    for percent in percents:
        place = last * (percent / 100)
        below = int(place)
        a, b = map(float, np.searchsorted(ends, (below, min(below + 1, last)), side="right"))
        part = place - below
        found.append(a + (b - a) * part if part < 0.5 else b - (b - a) * (1 - part))  # to the same bit as numpy
    return found[0], found[1]


def _pieces(samples: Samples) -> Iterator[slice]:
    """Rows that are mapped together, so that a large image does not need eight times its memory."""
    if samples.ndim == 0 or samples.size == 0:
        return
    rows = max(1, _AT_ONCE * len(samples) // samples.size)
    for first in range(0, len(samples), rows):
        yield slice(first, first + rows)
