"""What a maker of images hands over: pixels, and the boxes that are truly in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

#: (height, width, 3) uint8, BGR.
Pixels = npt.NDArray[np.uint8]

#: Pixels. Every image of the demo is this large.
WIDTH, HEIGHT = 640, 480


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels, origin top left; x2 and y2 lie just outside."""

    x1: float
    y1: float
    x2: float
    y2: float

    @property
    def area(self) -> float:
        return max(0.0, self.x2 - self.x1) * max(0.0, self.y2 - self.y1)

    def overlap(self, other: Box) -> Box:
        """What both cover; its area is 0 where they do not meet."""
        return Box(max(self.x1, other.x1), max(self.y1, other.y1), min(self.x2, other.x2), min(self.y2, other.y2))

    def iou(self, other: Box) -> float:
        """Intersection over union, 0..1."""
        shared = self.overlap(other).area
        return shared / (self.area + other.area - shared) if shared else 0.0


@dataclass(frozen=True, slots=True)
class TrueBox:
    """One object that is in the image: `person` or `face`."""

    label: str
    box: Box


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """One image and everything true of it."""

    pixels: Pixels
    truth: tuple[TrueBox, ...]
