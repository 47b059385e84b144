"""What a head is: a network's raw outputs in, candidate boxes out; and how one is recognised."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

import numpy as np
import numpy.typing as npt

from worker.boxes import Candidates, Floats
from worker.letterbox import Pixels

#: Network pixels per cell of the three feature maps that nearly every one-stage detector has.
STRIDES = (8, 16, 32)

#: (height, width) in network pixels.
Size = tuple[int, int]
Outputs = Sequence[Floats]


class Head(Protocol):
    """One way to read raw outputs. Heads have no state: a detector names one, and its digest carries the name."""

    @property
    def name(self) -> str: ...

    @property
    def pixels(self) -> Pixels: ...

    @property
    def default_conf(self) -> float: ...

    @property
    def default_iou(self) -> float: ...

    #: True where boxes come out already chosen, so that no further suppression is done.
    @property
    def chosen_inside(self) -> bool: ...

    def accepts(self, outputs: Outputs, size: Size) -> bool:
        """Whether outputs of these shapes can be read by this head at all."""

    def fits(self, outputs: Outputs, size: Size) -> bool:
        """Whether accepted outputs also have this head's number of anchors and its range of values."""

    def classes(self, outputs: Outputs) -> int | None:
        """How many classes accepted outputs have; None where the shapes do not say."""

    def decode(self, outputs: Outputs, size: Size, floor: float) -> Candidates:
        """Candidates at or above the floor, boxes in network pixels."""


@lru_cache(maxsize=8)
def grid(size: Size) -> tuple[Floats, Floats]:
    """Of every cell, stride by stride and row by row: (n, 2) x y in cells, and (n, 1) its stride."""
    cells, strides = [], []
    for stride in STRIDES:
        height, width = size[0] // stride, size[1] // stride
        x, y = np.meshgrid(np.arange(width), np.arange(height))
        cells.append(np.stack((x.ravel(), y.ravel()), axis=1))
        strides.append(np.full((height * width, 1), stride))
    return np.concatenate(cells).astype(np.float32), np.concatenate(strides).astype(np.float32)


def are_anchors(count: int, columns: int, size: Size) -> bool:
    """Whether an axis of `count` can be that of the anchors, and one of `columns` that of a box's values."""
    cells = len(grid(size)[0])
    return count > columns or count in (cells, 3 * cells)


def corners(boxes: Floats) -> Floats:
    """(n, 4) centre x, centre y, width, height to x1 y1 x2 y2."""
    half = boxes[:, 2:] / 2
    return np.concatenate((boxes[:, :2] - half, boxes[:, :2] + half), axis=1)


def are_logits(scores: npt.NDArray[np.floating]) -> bool:
    """True where scores leave 0..1 by more than rounding: the graph has left out its last sigmoid."""
    return bool(scores.size and (scores.min() < -1e-3 or scores.max() > 1 + 1e-3))
