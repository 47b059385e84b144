"""YOLOX: (1, cells, 5 + classes), with boxes relative to their cell (raw) or already in pixels (decoded).

Method: Ge et al., YOLOX (arXiv 2107.08430), and `postprocess` of its repository's `yolox/utils/boxes.py`
(Apache-2.0): a box's label is its best class, its score objectness times that class's score.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jobs.detect.detectors.boxes import Candidates, Floats, Indices, best_class, candidates
from jobs.detect.detectors.letterbox import Pixels
from jobs.detect.heads import values
from jobs.detect.heads.base import Outputs, Reading, Size, Trial, cells_of, corners, strides_of
from jobs.detect.heads.yolo.yolov8 import has_objectness

#: Cells. How far from its cell the centre of a box is at the most, on average; 0.5 to 2 in trained networks.
_NEAR = 8.0
_PIXELS = Pixels("BGR", "corner", "down")


@dataclass(frozen=True, slots=True)
class Yolox:
    """`decoded`: the graph was exported with its boxes in pixels (`--decode_in_inference`)."""

    decoded: bool
    pixels: Pixels = _PIXELS
    default_conf: float = 0.25
    default_iou: float = 0.45
    chosen_inside: bool = False
    threshold_inside: bool = False
    in_image: bool = False

    @property
    def name(self) -> str:
        return "yolox-decoded" if self.decoded else "yolox"

    def read(self, trial: Trial) -> Reading | None:
        out = trial.single()
        if out is None or out.shape[1] < 6:
            return None
        gridded = strides_of(len(out), trial.size) is not None
        if not gridded and (not self.decoded or len(out) <= out.shape[1]):
            # Boxes in pixels need no grid, others do.
            return None
        objection = values.first(
            values.of_scores(out[:, 4:]),
            self._of_places(out, trial.size),
            self._of_decoded(out, trial),
            "" if gridded else values.of_one_class(out),
        )
        told = not self.decoded or has_objectness(out, trial)
        # Objectness of 1 everywhere is how anchor-free YOLOs fill YOLOv5's columns.
        return Reading(self, objection=objection, sure=bool(gridded and told and not (out[:, 4] == 1).all()))

    def _of_decoded(self, out: Floats, trial: Trial) -> str:
        if not self.decoded:
            return ""
        lacks = "it has no column for an objectness" if has_objectness(out, trial) is False else ""
        return values.of_sides(out[:, :4]) or lacks

    def _of_places(self, out: Floats, size: Size) -> str:
        """A box's centre lies near its cell in the right reading, and far from it in the wrong one."""
        if strides_of(len(out), size) is None:
            return ""
        cells, strides = cells_of(len(out), size)
        raw = np.abs(out[:, :2] - 0.5).mean()
        decoded = np.abs(out[:, :2] / strides - cells - 0.5).mean()
        right, wrong = (decoded, raw) if self.decoded else (raw, decoded)
        if right >= min(_NEAR, wrong / 2):
            return "its boxes lie far from their cells"
        return ""

    def classes(self, outputs: Outputs) -> int:
        return int(outputs[0].shape[2]) - 5

    def decode(self, outputs: Outputs, size: Size, floor: float) -> Candidates:
        out = outputs[0][0]
        # No class score is over 1, so objectness under the floor can be left out first.
        likely = np.flatnonzero(out[:, 4] >= floor)
        part = out[likely]
        scores = part[:, 5:] * part[:, 4:5]
        rows, ids = best_class(scores, floor)
        boxes = part[:, :4] if self.decoded else _to_pixels(part[:, :4], likely, cells_of(len(out), size))
        return candidates(corners(boxes)[rows], scores[rows, ids], ids)


def _to_pixels(boxes: Floats, rows: Indices, grid: tuple[Floats, Floats]) -> Floats:
    cells, strides = grid
    centre = (boxes[:, :2] + cells[rows]) * strides[rows]
    with np.errstate(over="ignore"):
        # A side beyond float32 becomes inf: `suppress` refuses it where the score counts.
        sides = np.exp(boxes[:, 2:]) * strides[rows]
    return np.concatenate((centre, sides), axis=1)
