"""Decodes what neither OpenCV nor Pillow decodes right: TIFF, PNM, some BMP, samples of many bits. Uses no engine."""

from __future__ import annotations

import re
from typing import Protocol

from common.images.depth import Bytes
from common.images.scale import Scale

_TIFF = re.compile(rb"II[*+]\0|MM\0[*+]")
_PNM = re.compile(rb"P[1-6][\s#]|P7\s*\n|P[Ff]\s")


class Picture(Protocol):
    """A file whose head is read, and whose pixels are not decoded yet."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as stored."""

    @property
    def memory_pixels(self) -> int:
        """Pixels that decoding takes memory for, at most."""

    @property
    def orientation(self) -> int | None:
        """EXIF's 1 to 8; None where the file says nothing, or nothing valid."""

    @property
    def deep(self) -> bool:
        """Whether 8 bits cannot hold a channel's values."""

    def rgb(self, scale: Scale | None = None) -> Bytes:
        """(height, width, 3) RGB or (height, width) grey, as stored, before its orientation. Alpha is dropped.

        `scale` is for deep pictures. Raises ItemError: truncated, corrupt, unsupported; and MemoryError.
        """


class Plain:
    """Size and orientation of a picture whose file says its sides, and not how it is turned."""

    __slots__ = ()
    width: int
    height: int

    @property
    def size(self) -> tuple[int, int]:
        return self.width, self.height

    @property
    def memory_pixels(self) -> int:
        return self.width * self.height

    @property
    def orientation(self) -> None:
        return None


def open_picture(data: bytes) -> Picture | None:
    """None for what others decode. Raises ItemError: truncated, corrupt, unsupported; and MemoryError.

    The readers are loaded when the first such file comes.
    """
    if _TIFF.match(data):
        from common.images.tiff import Tiff

        return Tiff.open(data)
    if _PNM.match(data):
        from common.images.pnm import Pnm

        return Pnm.open(data)
    if data.startswith(b"BM"):
        from common.images.bmp import BitFields

        return BitFields.open(data)
    return None
