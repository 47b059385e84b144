"""YOLOv8, v9, 11 and 12: (1, 4 + classes, anchors), boxes in pixels, in; each box's best class out.

Method: ultralytics, `non_max_suppression` with `multi_label=False`, as `predict` calls it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worker.boxes import Candidates, candidates
from worker.heads.base import Outputs, Size, are_anchors, are_logits, corners, grid
from worker.heads.ultralytics import PIXELS
from worker.letterbox import Pixels


@dataclass(frozen=True, slots=True)
class Yolov8:
    name: str = "yolov8"
    pixels: Pixels = PIXELS
    default_conf: float = 0.25
    default_iou: float = 0.7
    chosen_inside: bool = False

    def accepts(self, outputs: Outputs, size: Size) -> bool:
        if len(outputs) != 1 or outputs[0].ndim != 3:
            return False
        batch, rows, anchors = outputs[0].shape
        return bool(batch == 1 and rows >= 5 and are_anchors(anchors, rows, size))

    def fits(self, outputs: Outputs, size: Size) -> bool:
        out = outputs[0][0]
        anchors = bool(out.shape[1] == len(grid(size)[0]))
        return anchors and not are_logits(out[4:]) and bool(out[2:4].min() >= 0)

    def classes(self, outputs: Outputs) -> int:
        return int(outputs[0].shape[1]) - 4

    def decode(self, outputs: Outputs, size: Size, floor: float) -> Candidates:
        out = outputs[0][0]
        columns = np.flatnonzero(out[4:].max(axis=0) >= floor)
        part = out[:, columns].T
        ids = part[:, 4:].argmax(axis=1)
        return candidates(corners(part[:, :4]), part[np.arange(len(part)), 4 + ids], ids)
