"""YOLO-NAS: boxes (1, cells, 4) x1 y1 x2 y2 in pixels and scores (1, cells, classes) in; each box's best class out.

Method: Deci-AI/super-gradients, exported without its post-processing; thresholds and pixels are those of
`default_yolo_nas_coco_processing_params`, but for a margin of two pixels, which is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

from jobs.detect.detectors.boxes import Candidates, best_class, candidates
from jobs.detect.detectors.letterbox import Pixels
from jobs.detect.heads import values
from jobs.detect.heads.arrange import boxes_and_scores
from jobs.detect.heads.base import Outputs, Reading, Size, Trial, strides_of
from jobs.detect.heads.yolo.ultralytics import PIXELS

_DOUBT = "DAMO-YOLO and MMYOLO give scores before boxes too, for other pixels (0..255, or BGR with ImageNet's mean)"


@dataclass(frozen=True, slots=True)
class YoloNas:
    name: str = "yolonas"
    pixels: Pixels = PIXELS
    default_conf: float = 0.25
    default_iou: float = 0.7
    chosen_inside: bool = False
    threshold_inside: bool = False
    in_image: bool = False

    def read(self, trial: Trial) -> Reading | None:
        order = boxes_and_scores(trial)
        if order is None or trial.extras:
            return None
        boxes, scores = (trial.outputs[index][0] for index in order)
        if strides_of(len(boxes), trial.size) is None:
            return None
        objection = values.first(values.of_scores(scores), values.of_corners(boxes))
        named = trial.named(order[0], "pred_bboxes", "pred_boxes") and trial.named(order[1], "pred_scores")
        sure = named or order[0] < order[1]
        return Reading(self, order, objection, sure, "" if sure else _DOUBT)

    def classes(self, outputs: Outputs) -> int:
        return int(outputs[1].shape[2])

    def decode(self, outputs: Outputs, size: Size, floor: float) -> Candidates:
        boxes, scores = (out[0] for out in outputs)
        rows, ids = best_class(scores, floor)
        return candidates(boxes[rows], scores[rows, ids], ids)
