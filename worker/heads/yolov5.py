"""YOLOv5 style (also v6, v7): (1, anchors, 5 + classes), boxes in pixels, in; each box's best class out.

Method: ultralytics/yolov5, `non_max_suppression` with `multi_label=False`, as its `detect.py` calls it: score is
objectness times class score.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worker.boxes import Candidates, best_class, candidates
from worker.heads.base import Outputs, Size, are_anchors, are_logits, corners, grid
from worker.heads.ultralytics import PIXELS
from worker.letterbox import Pixels


@dataclass(frozen=True, slots=True)
class Yolov5:
    name: str = "yolov5"
    pixels: Pixels = PIXELS
    default_conf: float = 0.25
    default_iou: float = 0.45
    chosen_inside: bool = False

    def accepts(self, outputs: Outputs, size: Size) -> bool:
        if len(outputs) != 1 or outputs[0].ndim != 3:
            return False
        batch, anchors, columns = outputs[0].shape
        return bool(batch == 1 and columns >= 6 and are_anchors(anchors, columns, size))

    def fits(self, outputs: Outputs, size: Size) -> bool:
        out = outputs[0][0]
        cells = len(grid(size)[0])
        # Three anchors a cell; or one, with an objectness of 1 everywhere (YOLOv6).
        anchors = len(out) == 3 * cells or (len(out) == cells and bool((out[:, 4] == 1).all()))
        return anchors and not are_logits(out[:, 4:]) and bool(out[:, 2:4].min() >= 0)

    def classes(self, outputs: Outputs) -> int:
        return int(outputs[0].shape[2]) - 5

    def decode(self, outputs: Outputs, size: Size, floor: float) -> Candidates:
        out = outputs[0][0]
        part = out[np.flatnonzero(out[:, 4] >= floor)]
        scores = part[:, 5:] * part[:, 4:5]
        rows, ids = best_class(scores, floor)
        return candidates(corners(part[rows, :4]), scores[rows, ids], ids)
