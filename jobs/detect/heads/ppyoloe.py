"""PP-YOLOE and other detectors of PaddleDetection by way of Paddle2ONNX, with or without the suppression inside.

Method: PaddleDetection's `ppyoloe_head.py`, `post_process`. With `scale_factor` as an input boxes are in pixels of the
image: rows (n, 6) of class score x1 y1 x2 y2 and their number; or, with `exclude_nms`, boxes (1, cells, 4) and scores
(1, classes, cells). With `exclude_post_process` there is one output in network pixels, (1, cells, 4 + classes).
Nothing in the graph tells PP-YOLOE+ (0..1) from PP-YOLOE (ImageNet's mean and deviation): the user says it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from jobs.detect.detectors.boxes import Candidates, Floats, best_class, candidates
from jobs.detect.detectors.letterbox import Pixels
from jobs.detect.heads import chosen, values
from jobs.detect.heads.base import Outputs, Reading, Size, Trial, strides_of
from jobs.detect.heads.detr import rtdetr
from jobs.detect.heads.detr.detr import IMAGENET

_Form = Literal["rows", "apart", "joined"]


@dataclass(frozen=True, slots=True)
class PpYoloe:
    """`form` is learnt from the graph."""

    name: str
    pixels: Pixels
    default_conf: float = 0.5
    default_iou: float = 0.7
    form: _Form = "joined"

    @property
    def chosen_inside(self) -> bool:
        return self.form == "rows"

    @property
    def threshold_inside(self) -> bool:
        return self.form == "rows"

    @property
    def in_image(self) -> bool:
        return self.form != "joined"

    def read(self, trial: Trial) -> Reading | None:
        if "scale" in trial.extras and "image size" not in trial.extras:
            return self._read_rows(trial) or self._read_apart(trial)
        out = trial.single()
        if out is None or out.shape[1] < 5 or strides_of(len(out), trial.size) is None:
            return None
        objection = values.first(values.of_scores(out[:, 4:]), _of_all_corners(out[:, :4]))
        return Reading(replace(self, form="joined"), objection=objection, sure=True)

    def _read_rows(self, trial: Trial) -> Reading | None:
        rows = [index for index, out in enumerate(trial.outputs) if out.ndim == 2 and out.shape[1] == 6]
        counts = [index for index, out in enumerate(trial.outputs) if out.size == trial.batch and out.ndim <= 2]
        if len(trial.outputs) > 2 or len(rows) != 1 or len(counts) + 1 != len(trial.outputs):
            return None
        out = trial.outputs[rows[0]]
        objection = values.first(
            values.of_ids(out[:, 0]), values.of_scores(out[out[:, 0] >= 0][:, 1:2]), values.of_extent(out[:, 2:])
        )
        return Reading(replace(self, form="rows"), (*rows, *counts), objection, sure=True)

    def _read_apart(self, trial: Trial) -> Reading | None:
        flat = [(index, out.shape[2]) for index, out in enumerate(trial.outputs) if out.ndim == 3]
        boxes = [index for index, columns in flat if columns == 4]
        scores = [index for index, columns in flat if strides_of(columns, trial.size)]
        if len(trial.outputs) != 2 or len(boxes) != 1 or len(scores) != 1:
            return None
        objection = values.first(
            values.of_scores(trial.outputs[scores[0]][0].T), _of_all_corners(trial.outputs[boxes[0]][0])
        )
        return Reading(replace(self, form="apart"), (*boxes, *scores), objection, sure=True)

    def classes(self, outputs: Outputs) -> int | None:
        if self.form == "rows":
            return None
        return int(outputs[1].shape[1]) if self.form == "apart" else int(outputs[0].shape[2]) - 4

    def decode(self, outputs: Outputs, size: Size, floor: float) -> Candidates:
        if self.form == "rows":
            # Of the first image of the batch.
            part = outputs[0][: int(outputs[1].flat[0])] if len(outputs) > 1 else outputs[0]
            return chosen.take(self.name, (part[:, 2:], part[:, 1], part[:, 0]), floor, chosen.order)
        if self.form == "apart":
            boxes, scores = outputs[0][0], outputs[1][0].T
        else:
            boxes, scores = outputs[0][0][:, :4], outputs[0][0][:, 4:]
        rows, ids = best_class(scores, floor)
        return candidates(boxes[rows], scores[rows, ids], ids)


def _of_all_corners(boxes: Floats) -> str:
    """(n, 4) of x1 y1 x2 y2 in pixels of all anchors."""
    if boxes.size and (boxes == 0).all():
        return "all of its boxes are empty"
    return values.of_corners(boxes)


FAMILY = (PpYoloe("ppyoloe-plus", rtdetr.PIXELS), PpYoloe("ppyoloe", IMAGENET))
