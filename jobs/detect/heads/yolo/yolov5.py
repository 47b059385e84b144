"""YOLOv5 style (also v6, v7): (1, anchors, 5 + classes), boxes in pixels, in; each box's best class out.

Method: ultralytics/yolov5, `non_max_suppression` with `multi_label=False`, as its `detect.py` calls it: score is
objectness times class score. Exports of before 2022 have the maps of each stride as outputs too, and those of YOLOv7
may: the first output is complete.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jobs.detect.detectors.boxes import Candidates, Floats, best_class, candidates
from jobs.detect.detectors.letterbox import Pixels
from jobs.detect.heads import values
from jobs.detect.heads.base import Outputs, Reading, Size, Trial, corners, strides_of
from jobs.detect.heads.yolo.ultralytics import PIXELS
from jobs.detect.heads.yolo.yolov8 import has_objectness


@dataclass(frozen=True, slots=True)
class Yolov5:
    name: str = "yolov5"
    pixels: Pixels = PIXELS
    default_conf: float = 0.25
    default_iou: float = 0.45
    chosen_inside: bool = False
    threshold_inside: bool = False
    in_image: bool = False

    def read(self, trial: Trial) -> Reading | None:
        found = _complete(trial)
        if found is None:
            return None
        index, out = found
        a_cell = _anchors_a_cell(len(out), trial.size)
        if out.shape[1] < 6 or (a_cell is None and len(out) <= out.shape[1]):
            return None
        # Three anchors a cell; or one, with an objectness of 1 everywhere (YOLOv6).
        sure = a_cell == 3 or (a_cell == 1 and bool((out[:, 4] == 1).all()))
        lacks = a_cell == 1 and has_objectness(out, trial) is False
        objection = values.first(
            values.of_scores(out[:, 4:]),
            values.of_sides(out[:, :4]),
            "it has no column for an objectness" if lacks and not sure else "",
            values.of_one_class(out) if a_cell is None else "",
        )
        return Reading(self, (index,), objection, sure)

    def classes(self, outputs: Outputs) -> int:
        return int(outputs[0].shape[2]) - 5

    def decode(self, outputs: Outputs, size: Size, floor: float) -> Candidates:
        out = outputs[0][0]
        part = out[np.flatnonzero(out[:, 4] >= floor)]
        scores = part[:, 5:] * part[:, 4:5]
        rows, ids = best_class(scores, floor)
        return candidates(corners(part[rows, :4]), scores[rows, ids], ids)


def _complete(trial: Trial) -> tuple[int, Floats] | None:
    """The output of all anchors, and where it is; beside it may only be maps (1, anchors, height, width, 5 + classes)
    that hold as many anchors together.
    """
    if (out := trial.single()) is not None:
        return 0, out
    flat = [index for index, out in enumerate(trial.outputs) if out.ndim == 3]
    maps = [out for out in trial.outputs if out.ndim == 5]
    if trial.extras or len(flat) != 1 or len(maps) + 1 != len(trial.outputs):
        return None
    out = trial.outputs[flat[0]]
    anchors = sum(int(np.prod(map_.shape[1:4])) for map_ in maps)
    same = all(map_.shape[-1] == out.shape[2] for map_ in maps)
    return (flat[0], out[0]) if trial.is_batch(out) and same and anchors == out.shape[1] else None


def _anchors_a_cell(count: int, size: Size) -> int | None:
    return next((each for each in (3, 1) if count % each == 0 and strides_of(count // each, size, least=2)), None)
