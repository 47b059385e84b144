"""Transformers exported without their post-processing: logits (1, queries, classes) and boxes (1, queries, 4) in 0..1.

RF-DETR (roboflow/rf-detr) names them `dets` and `labels`; RT-DETR and D-FINE without their post-processor, and those of
Hugging Face, `pred_boxes` and `logits`. A score is the sigmoid of a logit, or, in DETR (arXiv 2005.12872) and YOLOS,
its softmax among the classes and a last one that stands for no object. A box's label is its best class.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jobs.detect.detectors.boxes import Candidates, Floats, best_class, candidates
from jobs.detect.detectors.letterbox import Pixels
from jobs.detect.heads import values
from jobs.detect.heads.arrange import boxes_and_scores
from jobs.detect.heads.base import Outputs, Reading, Size, Trial, corners, in_pixels
from jobs.detect.heads.detr import rtdetr

#: ImageNet's means and deviations, RGB, of 0..255.
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
IMAGENET = Pixels("RGB", "stretch", mean=MEAN, std=STD)
#: Of a softmax with a class for no object: it is the best one of at least so many queries that look at noise.
_MOSTLY, _HARDLY = 0.8, 0.2


@dataclass(frozen=True, slots=True)
class Detr:
    name: str
    pixels: Pixels
    default_conf: float
    softmax: bool = False
    #: What this family's exporter calls boxes and logits, where it has names of its own.
    own_names: tuple[str, str] | None = None
    #: Not used: a transformer finds an object once.
    default_iou: float = 0.7
    chosen_inside: bool = True
    threshold_inside: bool = False
    in_image: bool = False

    def read(self, trial: Trial) -> Reading | None:
        order = boxes_and_scores(trial)
        if order is None or trial.extras:
            return None
        boxes, logits = (trial.outputs[index][0] for index in order)
        if not len(boxes) or logits.shape[1] < 1 + self.softmax:
            return None
        names = tuple(trial.names[index] for index in order) if trial.names else None
        of_names = f"outputs with these names are {OWN[names]}'s" if names in OWN and names != self.own_names else ""
        named = names is not None and names == self.own_names
        return Reading(
            self, order, values.first(of_names, values.of_unit_boxes(boxes), self._of_logits(logits, named)), sure=True
        )

    def _of_logits(self, logits: Floats, named: bool) -> str:
        if np.isfinite(logits).all() and not values.are_logits(logits):
            return "its scores are in 0..1 already, where this head takes logits"
        best = logits.argmax(axis=1)
        # Noise shows nothing to most queries. A sigmoid says so by logits that are all negative.
        nothing = float(((best == logits.shape[1] - 1) & (logits[:, -1] > 0)).mean())
        if self.softmax and nothing < _MOSTLY:
            return "the last of its classes is not the best one nearly everywhere, as that for no object is"
        if not self.softmax and not named and nothing > _HARDLY:
            return "the last of its classes is the best one nearly everywhere, as that for no object is under a softmax"
        return ""

    def classes(self, outputs: Outputs) -> int:
        return int(outputs[1].shape[2]) - self.softmax

    def decode(self, outputs: Outputs, size: Size, floor: float) -> Candidates:
        boxes, logits = (out[0] for out in outputs)
        scores = _softmax(logits)[:, :-1] if self.softmax else _sigmoid(logits)
        rows, ids = best_class(scores, floor)
        return candidates(in_pixels(corners(boxes[rows]), size), scores[rows, ids], ids)


#: Names of boxes and logits that only one exporter gives, with its family.
OWN = {("dets", "labels"): "RF-DETR"}
FAMILY = (
    Detr("rfdetr", IMAGENET, 0.5, own_names=("dets", "labels")),
    Detr("rtdetr-logits", rtdetr.PIXELS, 0.4),
    Detr("detr", IMAGENET, 0.7, softmax=True),
)


def _sigmoid(logits: Floats) -> Floats:
    with np.errstate(over="ignore"):
        scores: Floats = np.reciprocal(1 + np.exp(-logits))
    return scores


def _softmax(logits: Floats) -> Floats:
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    scores: Floats = weights / weights.sum(axis=1, keepdims=True)
    return scores
