"""Decodes BMP files whose pixels are bit fields: OpenCV leaves those of five bits dark, and takes few orders."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from common.images import Plain
from common.images.depth import Bytes, Samples, to_bytes
from common.images.errors import truncated, unsupported
from common.images.scale import Scale

_PLAIN, _FIELDS, _FIELDS_WITH_ALPHA = 0, 3, 6
#: Red, green and blue where the file does not say.
_BGR32, _BGR16 = (0xFF0000, 0xFF00, 0xFF), (0x7C00, 0x3E0, 0x1F)


@dataclass(frozen=True, slots=True, eq=False)
class BitFields(Plain):
    """A BMP of such pixels, not decoded yet."""

    data: bytes
    width: int
    height: int
    #: Bits of a pixel, and those of red, green and blue in it.
    bits: int
    masks: tuple[int, int, int]
    start: int
    #: Whether the top row comes first.
    downward: bool

    @classmethod
    def open(cls, data: bytes) -> BitFields | None:
        """None for every other BMP, and for one whose head is broken."""
        if len(data) < 66 or not data.startswith(b"BM"):
            return None
        start, size, width, height, _, bits, method = struct.unpack_from("<IIiiHHI", data, 10)
        masks: tuple[int, int, int] = _BGR16
        if method in (_FIELDS, _FIELDS_WITH_ALPHA):
            masks = struct.unpack_from("<3I", data, 54)
        fields = bits == 16 or (bits == 32 and method != _PLAIN and masks != _BGR32)
        if size < 40 or not fields or method not in (_PLAIN, _FIELDS, _FIELDS_WITH_ALPHA) or width < 1 or height == 0:
            return None
        return cls(data, width, abs(height), bits, masks, start, height < 0)

    @property
    def deep(self) -> bool:
        return False

    def rgb(self, scale: Scale | None = None) -> Bytes:
        """(height, width, 3) RGB; each field's whole range becomes 0 to 255. `scale` is for deeper images.

        Raises ItemError: truncated, unsupported.
        """
        if not all(_is_run(mask) and mask >> self.bits == 0 for mask in self.masks):
            fields = ", ".join(f"{mask:#x}" for mask in self.masks)
            raise unsupported(f"BMP of the bit fields {fields}")
        row = -(-self.width * self.bits // 32) * 4
        if self.start + row * self.height > len(self.data):
            raise truncated(self.data)
        rows = np.frombuffer(self.data, np.uint8, row * self.height, self.start).reshape(self.height, row)
        pixels = rows.view(f"<u{self.bits // 8}")[:: 1 if self.downward else -1, : self.width]
        return np.dstack([_field(pixels, mask) for mask in self.masks])


def _is_run(mask: int) -> bool:
    """Whether its ones are next to each other, at most 16."""
    top = mask // (mask & -mask) if mask else 0
    return top > 0 and (top + 1).bit_count() == 1 and top < 65536


def _field(pixels: Samples, mask: int) -> Bytes:
    lowest = mask & -mask
    values = (pixels & mask) >> (lowest.bit_length() - 1)
    return to_bytes(values.astype(np.uint16), mask // lowest)
