"""Rows of seven that the graph has chosen by its suppression, of a whole batch: (n, 7).

YOLOv7's `export.py --end2end --max-wh`: batch x1 y1 x2 y2 class score. YOLO-NAS and others of super-gradients, in their
flat format: batch x1 y1 x2 y2 score class. Both see RGB, 0..1, centred on grey.
"""

from __future__ import annotations

from dataclasses import dataclass

from jobs.detect.detectors.boxes import Candidates
from jobs.detect.detectors.letterbox import Pixels
from jobs.detect.heads import chosen, values
from jobs.detect.heads.base import Outputs, Reading, Size, Trial
from jobs.detect.heads.yolo.ultralytics import PIXELS


@dataclass(frozen=True, slots=True)
class BatchRows:
    """`score` and `label` are the columns of the score and of the class number."""

    name: str
    score: int
    label: int
    #: What this exporter calls the input and the output.
    own_names: tuple[str, str]
    pixels: Pixels = PIXELS
    default_conf: float = 0.25
    #: Not used: what overlaps is decided in the graph.
    default_iou: float = 0.45
    chosen_inside: bool = True
    threshold_inside: bool = True
    in_image: bool = False

    def read(self, trial: Trial) -> Reading | None:
        if trial.extras or len(trial.outputs) != 1:
            return None
        out = trial.outputs[0]
        if out.ndim != 2 or out.shape[1] != 7:
            return None
        # Rows tell the two apart; where noise gives none, only names do.
        shown = bool((out[:, self.score] % 1 != 0).any())
        other = next((other.name for other in FAMILY if other.name != self.name and other._is_named(trial)), "")
        objection = values.first(
            f"an input and an output with these names are {other}'s" if other and not shown else "",
            values.of_ids(out[:, self.label]),
            values.of_scores(out[:, self.score, None]),
            values.of_ids(out[:, 0]),
            values.of_corners(out[:, 1:5]),
        )
        return Reading(self, objection=objection, sure=shown or self._is_named(trial))

    def _is_named(self, trial: Trial) -> bool:
        image, output = self.own_names
        return trial.image_name == image and bool(trial.names) and trial.named(0, output)

    def classes(self, outputs: Outputs) -> None:
        return None

    def decode(self, outputs: Outputs, size: Size, floor: float) -> Candidates:
        out = outputs[0]
        part = out[out[:, 0] == 0]
        rows = part[:, 1:5], part[:, self.score], part[:, self.label]
        return chosen.take(self.name, rows, floor, chosen.pixels)


FAMILY = (
    BatchRows("yolov7-end2end", score=6, label=5, own_names=("images", "output")),
    BatchRows("yolonas-flat", score=5, label=6, own_names=("input", "flat_predictions")),
)
