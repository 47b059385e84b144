"""Decodes a TIFF's first page to 8 bits where that is right, and refuses it by name where it is not.

tifffile reads the tags and takes strips and tiles apart, imagecodecs decompresses them; what the samples mean is
decided here, from TIFF 6.0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from common.errors import ItemCode, ItemError
from common.images.depth import Bytes, Samples, scaled, to_bytes
from common.images.errors import NO_RANGE, corrupt, truncated, unsupported
from common.images.scale import Scale
from common.images.tiff import ycbcr
from common.images.tiff.directory import directory_end
from common.images.tiff.grid import Grid
from common.images.tiff.layout import (
    CIELAB,
    CMYK,
    JPEG,
    PALETTE,
    WHITE_IS_ZERO,
    YCBCR,
    Layout,
    read_layout,
    refusal,
)
from common.images.tiff.samples import read_samples


@dataclass(frozen=True, slots=True, eq=False)
class Tiff:
    """A TIFF whose layout is known, and whose pixels are not decoded yet."""

    layout: Layout
    grid: Grid
    #: Why it is not decoded, in words.
    refused: str | None
    data: bytes

    @classmethod
    def open(cls, data: bytes) -> Tiff:
        """Raises ItemError: truncated, corrupt; and MemoryError."""
        try:
            layout = read_layout(data)
            return cls(layout, Grid.of(layout), refusal(layout), data)
        except MemoryError:
            raise
        except (
            Exception
        ):  # struct.error, ValueError, TypeError, IndexError, ... of tags that are of any type and length
            if directory_end(data) > len(data):
                raise truncated(data) from None
            raise corrupt("TIFF") from None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as stored."""
        return self.layout.width, self.layout.height

    @property
    def memory_pixels(self) -> int:
        """Pixels that decoding takes memory for: those of its tiles beyond its edges too."""
        return self.grid.pixels

    @property
    def orientation(self) -> int | None:
        return self.layout.orientation

    @property
    def deep(self) -> bool:
        return self.layout.deep

    def rgb(self, scale: Scale | None = None) -> Bytes:
        """(height, width, 3) RGB or (height, width) grey, as stored, before its orientation. Alpha is dropped.

        Raises ItemError: truncated, corrupt, unsupported; and MemoryError.
        """
        layout = self.layout
        if self.refused:
            raise unsupported(f"TIFF of {self.refused}")
        if not layout.ranged and scale is None:
            text = f"TIFF of {layout}: {NO_RANGE}"
            raise ItemError(ItemCode.UNSUPPORTED, text)
        try:
            samples = read_samples(layout, self.grid, self.data)
            if samples.ndim == 3:
                samples = samples[..., 0] if layout.colours == 1 else samples[..., : layout.colours]
            return np.ascontiguousarray(_coloured(layout, samples, scale))
        except (ItemError, MemoryError):
            raise
        except Exception:  # each codec has an error of its own, and tags are of any type
            raise corrupt("TIFF") from None


def _coloured(layout: Layout, samples: Samples, scale: Scale | None) -> Bytes:
    if layout.photometric == PALETTE:
        return _of_palette(layout, samples)
    if not layout.ranged and scale is not None:
        values = scaled(samples, scale)
    else:
        values = to_bytes(samples, (1 << layout.bits) - 1, scale)
    if layout.photometric == WHITE_IS_ZERO:
        return ~values
    if layout.photometric == CMYK:
        return _of_inks(values)
    if layout.photometric == CIELAB:
        return _of_lab(values)
    if layout.photometric == YCBCR and layout.compression != JPEG:
        return ycbcr.to_rgb(layout, values)
    return values


def _of_palette(layout: Layout, samples: Samples) -> Bytes:
    """Its 16-bit colours divided by 256; some writers left them at 8 bits."""
    colours = layout.page.tags.valueof(320)
    table = (colours >> 8 if colours.max() > 255 else colours).astype(np.uint8).T
    picked: Bytes = np.ascontiguousarray(table)[samples.astype(np.uint8) if samples.dtype == np.bool_ else samples]
    return picked


def _of_inks(values: Bytes) -> Bytes:
    """CMYK without a profile, as libtiff does: what one ink and black leave of white."""
    light = ~values
    return (light[..., :3].astype(np.uint16) * light[..., 3:] // 255).astype(np.uint8)


def _of_lab(values: Bytes) -> Bytes:
    """CIELab of D50, a and b signed, to sRGB by Little CMS: libtiff leaves the paper yellow."""
    from PIL import ImageCms

    height, width = values.shape[:2]
    picture = Image.frombytes("LAB", (width, height), values.tobytes())
    transform = ImageCms.buildTransform(
        ImageCms.createProfile("LAB", 5000), ImageCms.createProfile("sRGB"), "LAB", "RGB"
    )
    turned = ImageCms.applyTransform(picture, transform)
    if turned is None:
        raise corrupt("TIFF")
    return np.asarray(turned)
