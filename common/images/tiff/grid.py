"""Where the strips or tiles of a TIFF page stand in its picture."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from common.images.tiff.layout import Layout


class Place(NamedTuple):
    """Of one piece: its plane, its first row and column, and how many of them are inside the picture."""

    plane: int
    top: int
    left: int
    rows: int
    columns: int


@dataclass(frozen=True, slots=True)
class Grid:
    """Strips are pieces as wide as the picture."""

    width: int
    height: int
    piece_width: int
    piece_height: int
    planes: int

    @classmethod
    def of(cls, layout: Layout) -> Grid:
        page = layout.page
        size = (page.tilewidth, page.tilelength) if page.is_tiled else (layout.width, page.rowsperstrip)
        return cls(layout.width, layout.height, int(size[0]), int(size[1]), layout.bands if layout.planar else 1)

    @property
    def across(self) -> int:
        return math.ceil(self.width / self.piece_width)

    @property
    def down(self) -> int:
        return math.ceil(self.height / self.piece_height)

    @property
    def count(self) -> int:
        return self.planes * self.across * self.down

    @property
    def pixels(self) -> int:
        """Of all tiles of one plane, beyond the picture's edges too; a last strip ends with the picture."""
        return (
            self.width * self.height
            if self.across == 1 and self.piece_width == self.width
            else (self.across * self.piece_width * self.down * self.piece_height)
        )

    def place(self, index: int) -> Place:
        """Of the piece of this number: row by row, plane by plane."""
        row, column = divmod(index, self.across)
        plane, row = divmod(row, self.down)
        top, left = row * self.piece_height, column * self.piece_width
        return Place(
            plane,
            top,
            left,
            min(self.piece_height, self.height - top),
            min(self.piece_width, self.width - left),
        )
