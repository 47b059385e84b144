"""Shapes in, smooth pixels out: a canvas painted at twice its size, with lights that glow."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from demo.scene import HEIGHT, WIDTH, Pixels

#: Blue, green, red: 0..255.
Colour = tuple[float, float, float]
#: (x, y) in image pixels.
Point = tuple[float, float]

#: Painted pixels per image pixel, each way.
_FINER = 2
#: Bits of a coordinate's fraction in OpenCV's drawing calls.
_SHIFT = 4


def colour(text: str) -> Colour:
    """`#rrggbb` as OpenCV wants it."""
    return (int(text[5:7], 16), int(text[3:5], 16), int(text[1:3], 16))


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """`share` 0 is all first, 1 all second."""
    blue, green, red = (a + (b - a) * share for a, b in zip(first, second, strict=True))
    return (blue, green, red)


def shade(base: Colour, factor: float) -> Colour:
    """Darker under 1, lighter over it."""
    blue, green, red = (min(255.0, value * factor) for value in base)
    return (blue, green, red)


class Canvas:
    """Coordinates are in image pixels, origin top left; later shapes cover earlier ones."""

    def __init__(self) -> None:
        self._paint: Pixels = np.zeros((HEIGHT * _FINER, WIDTH * _FINER, 3), np.uint8)
        self._light: Pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        self._lit = False

    def polygon(self, points: Sequence[Point] | npt.NDArray[np.floating], fill: Colour) -> None:
        cv2.fillPoly(self._paint, [_fixed(points, _FINER)], fill, cv2.LINE_AA, _SHIFT)
        if self._lit:
            cv2.fillPoly(self._light, [_fixed(points, 1)], (0, 0, 0), cv2.LINE_AA, _SHIFT)

    def rectangle(self, x1: float, y1: float, x2: float, y2: float, fill: Colour) -> None:
        self.polygon([(x1, y1), (x2, y1), (x2, y2), (x1, y2)], fill)

    def ellipse(self, centre: Point, radius_x: float, radius_y: float, fill: Colour) -> None:
        turn = np.linspace(0.0, 2 * np.pi, 40, endpoint=False)
        ring = np.stack([centre[0] + radius_x * np.cos(turn), centre[1] + radius_y * np.sin(turn)], 1)
        self.polygon(ring, fill)

    def line(self, first: Point, second: Point, width: float, fill: Colour) -> None:
        """A stroke `width` image pixels wide."""
        start, end = _fixed([first, second], _FINER)
        thickness = max(1, round(width * _FINER))
        cv2.line(self._paint, start.tolist(), end.tolist(), fill, thickness, cv2.LINE_AA, _SHIFT)

    def gradient(self, top: float, bottom: float, first: Colour, second: Colour) -> None:
        """Fills the full width between two heights, from one colour to the other."""
        y1, y2 = round(top * _FINER), round(bottom * _FINER)
        share = np.linspace(0.0, 1.0, y2 - y1)[:, None, None]
        rows = np.array(first) * (1 - share) + np.array(second) * share
        self._paint[y1:y2] = np.rint(rows).astype(np.uint8)

    def shadow(self, centre: Point, radius_x: float, radius_y: float, strength: float) -> None:
        """Darkens a soft ellipse; `strength` 0..1 at its middle."""
        reach_x, reach_y = int(radius_x * _FINER) + 1, int(radius_y * _FINER) + 1
        mid_x, mid_y = round(centre[0] * _FINER), round(centre[1] * _FINER)
        y1, y2 = max(0, mid_y - reach_y), min(self._paint.shape[0], mid_y + reach_y)
        x1, x2 = max(0, mid_x - reach_x), min(self._paint.shape[1], mid_x + reach_x)
        if y1 >= y2 or x1 >= x2:
            return
        down, across = np.ogrid[y1:y2, x1:x2]
        away = ((across - mid_x) / reach_x) ** 2 + ((down - mid_y) / reach_y) ** 2
        keep = 1 - strength * np.clip(1 - away, 0, 1)[..., None]
        self._paint[y1:y2, x1:x2] = (self._paint[y1:y2, x1:x2] * keep).astype(np.uint8)

    def light(self, points: Sequence[Point] | npt.NDArray[np.floating], glow: Colour) -> None:
        """A polygon that shines: the tint of the hour does not dim it, and it blooms. Later shapes hide it."""
        self._lit = True
        cv2.fillPoly(self._light, [_fixed(points, 1)], glow, cv2.LINE_AA, _SHIFT)

    def develop(self, tint: Colour) -> npt.NDArray[np.float32]:
        """The painting at its real size, each channel times its tint, with its lights: float32, 0..255."""
        painted = cv2.resize(self._paint, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
        image = painted.astype(np.float32) * np.array(tint, np.float32)
        if self._lit:
            near, far = cv2.GaussianBlur(self._light, (0, 0), 4), cv2.GaussianBlur(self._light, (0, 0), 16)
            image = np.maximum(image, self._light) + 0.08 * near + 0.4 * far
        return image.astype(np.float32, copy=False)


def _fixed(points: Sequence[Point] | npt.NDArray[np.floating], finer: int) -> npt.NDArray[np.int32]:
    """OpenCV's fixed-point corners. Its pixel centres are whole numbers, ours end in a half."""
    return np.rint((np.asarray(points, float) * finer - 0.5) * (1 << _SHIFT)).astype(np.int32)
