"""YOLOv8, v9, 11 and 12: (1, 4 + classes, anchors), boxes in pixels, in; each box's best class out.

Method: ultralytics, `non_max_suppression` with `multi_label=False`, as `predict` calls it. Some exporters turn it
round, (1, anchors, 4 + classes): what a decoded YOLOX gives, less its objectness.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jobs.detect.detectors.boxes import Candidates, Floats, candidates
from jobs.detect.detectors.letterbox import Pixels
from jobs.detect.heads import values
from jobs.detect.heads.base import Outputs, Reading, Size, Trial, corners, strides_of
from jobs.detect.heads.yolo.ultralytics import PIXELS

#: The mean of the best class scores for noise: 0.18 in YOLOX-nano, under 0.01 without an objectness.
_BESIDE_OBJECTNESS = 0.05


@dataclass(frozen=True, slots=True)
class Yolov8:
    """`rows`: an anchor is a row, not a column."""

    rows: bool
    pixels: Pixels = PIXELS
    default_conf: float = 0.25
    default_iou: float = 0.7
    chosen_inside: bool = False
    threshold_inside: bool = False
    in_image: bool = False

    @property
    def name(self) -> str:
        return "yolov8-rows" if self.rows else "yolov8"

    def read(self, trial: Trial) -> Reading | None:
        out = trial.single()
        if out is not None and self.rows:
            return self._read_rows(out, trial)
        if out is None or len(out) < 5:
            return None
        strides = strides_of(out.shape[1], trial.size, least=2)
        if strides is None and out.shape[1] <= len(out):
            return None
        of_scores = values.of_scores if trial.meta.is_detector else values.of_classes
        objection = values.first(of_scores(out[4:].T), values.of_sides(out[:4].T))
        return Reading(self, objection=objection, sure=strides is not None)

    def _read_rows(self, out: Floats, trial: Trial) -> Reading | None:
        if out.shape[1] < 5 or strides_of(len(out), trial.size) is None:
            return None
        objectness = has_objectness(out, trial)
        objection = values.first(
            values.of_classes(out[:, 4:]),
            values.of_sides(out[:, :4]),
            "its fifth column is an objectness" if objectness else "",
        )
        return Reading(self, objection=objection, sure=objectness is False)

    def classes(self, outputs: Outputs) -> int:
        return int(outputs[0].shape[2 if self.rows else 1]) - 4

    def decode(self, outputs: Outputs, size: Size, floor: float) -> Candidates:
        out = outputs[0][0].T if self.rows else outputs[0][0]
        columns = np.flatnonzero(out[4:].max(axis=0) >= floor)
        part = out[:, columns].T
        ids = part[:, 4:].argmax(axis=1)
        return candidates(corners(part[:, :4]), part[np.arange(len(part)), 4 + ids], ids)


def has_objectness(out: Floats, trial: Trial) -> bool | None:
    """Whether rows of (anchors, columns) are boxes, an objectness and classes, or boxes and classes; None where nothing
    tells. Beside an objectness, class scores are trained on objects alone and are not low where there is nothing.
    """
    columns = int(out.shape[1])
    if trial.meta.names is not None and (other := columns - len(trial.meta.names)) in (4, 5):
        return other == 5
    if columns > 5 and out[:, 5:].max(axis=1).mean() > _BESIDE_OBJECTNESS:
        return True
    # Nothing was trained so often as COCO's 80 classes.
    return {84: False, 85: True}.get(columns)
