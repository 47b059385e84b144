"""RT-DETR, D-FINE and DEIM as their authors export them: with the image's size as a second input.

`export_onnx.py` of lyuwenyu/RT-DETR, Peterande/D-FINE and ShihuaHuang95/DEIM: labels (1, n), boxes (1, n, 4) x1 y1 x2
y2 in pixels of the image, scores (1, n); the best 300 pairs of query and class, without suppression.
"""

from __future__ import annotations

from dataclasses import dataclass

from jobs.detect.detectors.boxes import Candidates
from jobs.detect.detectors.letterbox import Pixels
from jobs.detect.heads import chosen, values
from jobs.detect.heads.arrange import boxes_scores_ids
from jobs.detect.heads.base import Outputs, Reading, Size, Trial
from jobs.detect.heads.detr.rtdetr import PIXELS


@dataclass(frozen=True, slots=True)
class RtDetrSized:
    name: str = "rtdetr-sized"
    pixels: Pixels = PIXELS
    default_conf: float = 0.4
    #: Not used: a transformer finds an object once.
    default_iou: float = 0.7
    chosen_inside: bool = True
    threshold_inside: bool = False
    in_image: bool = True

    def read(self, trial: Trial) -> Reading | None:
        if trial.extras != {"image size"} or len(trial.outputs) != 3:
            return None
        order = boxes_scores_ids(trial, (0, 1, 2))
        if order is None:
            return None
        boxes, scores, ids = (trial.outputs[index][0] for index in order)
        objection = values.first(values.of_ids(ids), values.of_scores(scores[:, None]), values.of_extent(boxes))
        return Reading(self, order, objection, sure=True)

    def classes(self, outputs: Outputs) -> None:
        return None

    def decode(self, outputs: Outputs, size: Size, floor: float) -> Candidates:
        boxes, scores, ids = (out[0] for out in outputs)
        # In pixels of the image, which may be of one pixel; and of pairs far below any object, boxes are anything.
        return chosen.take(self.name, (boxes, scores, ids), floor, lambda boxes: "")
