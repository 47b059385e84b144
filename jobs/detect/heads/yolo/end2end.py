"""End to end: (1, n, 6), rows of x1 y1 x2 y2 score class that the graph has already chosen, in; the same out.

YOLOv10 and later (one box an object, no suppression: arXiv 2405.14458), and Ultralytics' exports with `nms=True`.
"""

from __future__ import annotations

from dataclasses import dataclass

from jobs.detect.detectors.boxes import Candidates
from jobs.detect.detectors.letterbox import Pixels
from jobs.detect.heads import chosen, values
from jobs.detect.heads.base import Outputs, Reading, Size, Trial, strides_of
from jobs.detect.heads.yolo.ultralytics import PIXELS


@dataclass(frozen=True, slots=True)
class EndToEnd:
    name: str = "end2end"
    pixels: Pixels = PIXELS
    default_conf: float = 0.25
    #: Not used: what overlaps is decided in the graph.
    default_iou: float = 0.7
    chosen_inside: bool = True
    #: Not in those that choose without suppression; where the graph suppresses, its operator shows it.
    threshold_inside: bool = False
    in_image: bool = False

    def read(self, trial: Trial) -> Reading | None:
        out = trial.single()
        if out is None or out.shape[1] != 6:
            return None
        count = len(out)
        # As many rows as anchors are the one-class outputs of YOLOX or YOLOv5.
        anchors = strides_of(count, trial.size) or (count % 3 == 0 and strides_of(count // 3, trial.size))
        objection = values.first(values.of_ids(out[:, 5]), values.of_scores(out[:, 4:5]), values.of_corners(out[:, :4]))
        return Reading(self, objection=objection, sure=not anchors)

    def classes(self, outputs: Outputs) -> None:
        return None

    def decode(self, outputs: Outputs, size: Size, floor: float) -> Candidates:
        out = outputs[0][0]
        return chosen.take(self.name, (out[:, :4], out[:, 4], out[:, 5]), floor, chosen.pixels)
