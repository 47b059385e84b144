"""Four outputs of a suppression in the graph: how many boxes, boxes (1, n, 4) x1 y1 x2 y2 in pixels, scores and class
numbers (1, n).

TensorRT's EfficientNMS has this form, and so have exports that do the same with ONNX' own operators: YOLOv7 and YOLOv8
(`num_dets`, `det_boxes`, `det_scores`, `det_classes`) and YOLO-NAS in the batch format of super-gradients. All of them
see RGB, 0..1, centred on grey.
"""

from __future__ import annotations

from dataclasses import dataclass

from jobs.detect.detectors.boxes import Candidates, Floats
from jobs.detect.detectors.letterbox import Pixels
from jobs.detect.heads import chosen, values
from jobs.detect.heads.arrange import boxes_scores_ids
from jobs.detect.heads.base import Outputs, Reading, Size, Trial
from jobs.detect.heads.yolo.ultralytics import PIXELS

#: What these exporters' names of boxes, scores and classes hold: TensorRT's, as YOLOs have them; super-gradients'.
_OWN = (("det_boxes", "det_scores", "det_classes"), ("pred_boxes", "pred_scores", "pred_classes"))
_DOUBT = (
    "these are not its own names, and others give the same four for other pixels (MMYOLO's RTMDet sees BGR with "
    "ImageNet's mean)"
)


@dataclass(frozen=True, slots=True)
class EfficientNms:
    name: str = "efficientnms"
    pixels: Pixels = PIXELS
    default_conf: float = 0.25
    #: Not used: what overlaps is decided in the graph.
    default_iou: float = 0.45
    chosen_inside: bool = True
    threshold_inside: bool = True
    in_image: bool = False

    def read(self, trial: Trial) -> Reading | None:
        if len(trial.outputs) != 4 or trial.extras:
            return None
        for number in range(4):
            order = boxes_scores_ids(trial, tuple(index for index in range(4) if index != number))
            if order is not None and _is_number(trial, number):
                break
        else:
            return None
        count = int(trial.outputs[number].flat[0])
        boxes, scores, ids = (trial.outputs[index][0][:count] for index in order)
        objection = values.first(
            _of_names(trial, order[0], boxes),
            values.of_ids(ids),
            values.of_scores(scores[:, None]),
            values.of_corners(boxes),
        )
        named = any(all(trial.named(index, part) for index, part in zip(order, names, strict=True)) for names in _OWN)
        sure = named or trial.meta.is_detector
        return Reading(self, (number, *order), objection, sure, "" if sure else _DOUBT)

    def classes(self, outputs: Outputs) -> None:
        return None

    def decode(self, outputs: Outputs, size: Size, floor: float) -> Candidates:
        count = int(outputs[0].flat[0])
        boxes, scores, ids = (out[0][:count] for out in outputs[1:])
        return chosen.take(self.name, (boxes, scores, ids), floor, chosen.pixels)


def _of_names(trial: Trial, index: int, boxes: Floats) -> str:
    """TensorFlow's SSD has four outputs too, and noise may show it nothing: names tell, unless boxes are in pixels."""
    in_pixels = bool(boxes.any()) and not values.of_extent(boxes)
    if in_pixels or not trial.named(index, "detection_boxes"):
        return ""
    return "these are the names of TensorFlow's SSD, whose boxes are y1 x1 y2 x2 in 0..1"


def _is_number(trial: Trial, index: int) -> bool:
    """(1,) or (1, 1): one whole number of each image; where all boxes are but one, its name says so."""
    out = trial.outputs[index]
    if out.shape not in ((out.shape[0],), (out.shape[0], 1)) or not out.size or not trial.is_batch(out):
        return False
    alone = all(other.shape[1:] != out.shape[1:] for other in (*trial.outputs[:index], *trial.outputs[index + 1 :]))
    return bool(out.flat[0] >= 0 and out.flat[0] % 1 == 0) and (alone or trial.named(index, "num"))
