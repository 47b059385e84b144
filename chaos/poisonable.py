"""Pixels in, a few boxes out, at a pace that a file sets; on a marked image, the end of the process that looks.

A plug-in detector, served from outside the packages as anybody's would be. The pace lets the storm decide how long a
run lasts, whatever the machine.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from common.images.image import Image
from common.protocol.detector_info import DetectorInfo
from jobs.detect.detectors import boxes
from jobs.detect.detectors.base import Detections, DetectOptions, ModelSource

NAME = "poisonable"
#: Environment: a file that holds the seconds an image takes.
PACE = "MANYEYES_CHAOS_PACE"
#: Cells a side: each has a box, whose score is how bright it is.
GRID = 3
#: Pixels a side of the corner that marks a poisoned image, in exactly this blue and red; green says which poison.
MARK_SIDE = 8
MARK_BLUE, MARK_RED = 251, 3
#: Bytes a step and steps of the poison that allocates: about 600 MB/s up to 2 GiB, so that it ends even unwatched.
_STEP_BYTES = 32 << 20
_STEPS = 64
_STEP_S = 0.05


def segfault() -> None:
    ctypes.string_at(0)


def allocate() -> None:
    held = []
    for _ in range(_STEPS):
        held.append(b"\1" * _STEP_BYTES)
        time.sleep(_STEP_S)
    raise MemoryError


def hang() -> None:
    """In native code that holds the interpreter's lock: no Python thread of this process runs any more."""
    while True:
        ctypes.PyDLL(None).pause()


#: The mark's green, and what the image does.
POISONS: dict[str, tuple[int, Callable[[], None]]] = {
    "segfault": (10, segfault),
    "allocate": (20, allocate),
    "hang": (30, hang),
}


@dataclass(frozen=True, slots=True, eq=False)
class _Bright:
    """(GRID * GRID,) means of the cells, 0..1."""

    cells: npt.NDArray[np.float32]


class PoisonableDetector:
    def __init__(self, info: DetectorInfo, pace: Path | None) -> None:
        self.info = info
        self._pace = pace

    def preprocess(self, image: Image, options: DetectOptions) -> Image:
        return image

    def infer(self, prepared: Image) -> _Bright:
        _swallow(prepared)
        if self._pace is not None:
            time.sleep(float(self._pace.read_text()))
        height, width = prepared.shape[0] // GRID, prepared.shape[1] // GRID
        cut = prepared[: height * GRID, : width * GRID].reshape(GRID, height, GRID, width * 3)
        sums = cut.sum(axis=(1, 3), dtype=np.int64).reshape(-1)
        return _Bright((sums / (255 * 3 * max(height * width, 1))).astype(np.float32))

    def postprocess(self, raw: _Bright, image: Image, options: DetectOptions) -> Detections:
        row, column = np.divmod(np.arange(GRID * GRID), GRID)
        size = np.array((image.shape[1] // GRID, image.shape[0] // GRID) * 2, np.float32)
        corners = np.stack((column, row, column + 1, row + 1), axis=1).astype(np.float32) * size
        found = boxes.candidates(corners, raw.cells, (row + column) % 2)
        return boxes.finish(boxes.suppress(found, options.iou, options.floor), image.shape[0], image.shape[1])


def _swallow(image: Image) -> None:
    """Does what the image's mark says, if it has one."""
    corner = image[:MARK_SIDE, :MARK_SIDE]
    if (corner != corner[0, 0]).any() or (corner[0, 0, 0], corner[0, 0, 2]) != (MARK_BLUE, MARK_RED):
        return
    for green, act in POISONS.values():
        if corner[0, 0, 1] == green:
            act()


class PoisonableFamily:
    suffixes: tuple[str, ...] = ()

    def load(self, source: ModelSource) -> PoisonableDetector:
        info = DetectorInfo(
            name=source.name,
            family=NAME,
            head=NAME,
            weights_sha256=hashlib.sha256(NAME.encode()).hexdigest(),
            labels=("even", "odd"),
            input_size=None,
            flexible_input=False,
            iou_adjustable=True,
            refilterable=True,
            default_conf=0.5,
            default_iou=0.5,
            preprocessing=f"BGR, mean brightness of {GRID} x {GRID} cells",
        )
        pace = os.environ.get(PACE)
        return PoisonableDetector(info, Path(pace) if pace else None)


family = PoisonableFamily()
