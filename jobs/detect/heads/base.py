"""Defines what a head is: it turns a network's raw outputs into candidate boxes, and says which outputs it can read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Literal, Protocol

import numpy as np

from jobs.detect.detectors.boxes import Candidates, Floats
from jobs.detect.detectors.letterbox import Pixels
from jobs.detect.heads.yolo.ultralytics import Metadata

#: (height, width) in network pixels.
Size = tuple[int, int]
Outputs = Sequence[Floats]
#: What a graph may want beside the image: the image's own size, the scale from it to the network's, the network's size.
Extra = Literal["image size", "scale", "network size"]

#: Network pixels a cell of a feature map. A detector has some in a row: most have 8 to 32, P6 to 64, P2 from 4.
_STRIDES = (4, 8, 16, 32, 64, 128)
_MAPS = sorted(
    (_STRIDES[first : last + 1] for first, last in combinations(range(len(_STRIDES)), 2)),
    key=lambda strides: strides != (8, 16, 32),
)


_NO_METADATA = Metadata()


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """What a graph is and what it gave for an image of noise: all that a head is recognised by."""

    outputs: Outputs
    size: Size
    #: The outputs' names, as the exporter wrote them.
    names: tuple[str, ...] = ()
    #: The name of the input that takes the image.
    image_name: str = ""
    #: True where the image goes in as bytes, so that the graph itself scales it.
    takes_bytes: bool = False
    batch: int = 1
    extras: frozenset[Extra] = frozenset()
    meta: Metadata = _NO_METADATA

    def single(self, ndim: int = 3) -> Floats | None:
        """The only output of a graph that takes nothing but an image, less its batch; None where it is not so."""
        if len(self.outputs) != 1 or self.extras or self.outputs[0].ndim != ndim or not self.is_batch(self.outputs[0]):
            return None
        out: Floats = self.outputs[0][0]
        return out

    def is_batch(self, output: Floats) -> bool:
        return bool(output.shape[0] in (1, self.batch))

    def named(self, index: int, *parts: str) -> bool:
        """Whether the name of an output holds one of the parts."""
        name = self.names[index].lower() if self.names else ""
        return any(part in name for part in parts)


@dataclass(frozen=True, slots=True)
class Reading:
    """How a head would read a graph's outputs."""

    #: The head, with all that it has learnt of this graph.
    head: Head
    #: Which outputs it reads, in its own order.
    order: tuple[int, ...] = (0,)
    #: What contradicts it, a clause for the user; empty where nothing does.
    objection: str = ""
    #: True where the graph shows that it is this head's, and not only that it could be.
    sure: bool = False
    #: Why it is not sure, where that is known; a clause for the user.
    doubt: str = ""


class Head(Protocol):
    """One way to read raw outputs. Heads keep nothing of an image: a detector's digest has the name of its head."""

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

    #: True where the graph also leaves out boxes under a score of its own.
    @property
    def threshold_inside(self) -> bool: ...

    #: True where boxes come out in pixels of the image, which the graph knows by an extra input.
    @property
    def in_image(self) -> bool: ...

    def read(self, trial: Trial) -> Reading | None:
        """How this head would read these outputs; None where their number or shapes are not its own."""

    def classes(self, outputs: Outputs) -> int | None:
        """How many classes outputs that it reads have; None where they do not say."""

    def decode(self, outputs: Outputs, size: Size, floor: float) -> Candidates:
        """Candidates at or above the floor, from the outputs in the reading's order. Boxes are in network pixels, or
        in pixels of the image (`in_image`). Of a batch, the first image is read.
        """


@lru_cache(maxsize=32)
def grid(size: Size, strides: tuple[int, ...]) -> tuple[Floats, Floats]:
    """Of every cell, stride by stride and row by row: (n, 2) x y in cells, and (n, 1) its stride."""
    cells, sides = [], []
    for stride in strides:
        # A side that is no whole number of cells is padded by the convolutions: the last cell is a part of one.
        height, width = -(-size[0] // stride), -(-size[1] // stride)
        x, y = np.meshgrid(np.arange(width), np.arange(height))
        cells.append(np.stack((x.ravel(), y.ravel()), axis=1))
        sides.append(np.full((height * width, 1), stride))
    return np.concatenate(cells).astype(np.float32), np.concatenate(sides).astype(np.float32)


@lru_cache(maxsize=32)
def strides_of(cells: int, size: Size, least: int = 3) -> tuple[int, ...] | None:
    """The strides of the feature maps that together have so many cells; None where no `least` or more in a row do. Two
    maps are rare, and what they count is often the number of something else.
    """
    for strides in _MAPS:
        if len(strides) >= least and sum(-(-size[0] // stride) * -(-size[1] // stride) for stride in strides) == cells:
            return strides
    return None


def cells_of(count: int, size: Size) -> tuple[Floats, Floats]:
    """The grid that has so many cells. Raises LookupError where there is none."""
    strides = strides_of(count, size)
    if strides is None:
        raise LookupError(count)
    return grid(size, strides)


def corners(boxes: Floats) -> Floats:
    """(n, 4) centre x, centre y, width, height to x1 y1 x2 y2."""
    half = boxes[:, 2:] / 2
    with np.errstate(invalid="ignore"):
        # An infinite side of an infinite centre: `suppress` refuses it where the score counts.
        return np.concatenate((boxes[:, :2] - half, boxes[:, :2] + half), axis=1)


def in_pixels(boxes: Floats, size: Size) -> Floats:
    """(n, 4) values of 0..1 to network pixels, whatever two of them mean."""
    return boxes * np.array((size[1], size[0]) * 2, np.float32)
