"""RT-DETR as Ultralytics exports it: (1, queries, 4 + classes), or since 2026 (1, queries, 6) of the best ones.

Method: Zhao et al. (arXiv 2304.08069), as `RTDETRPredictor` of ultralytics: boxes are centre x, centre y, width and
height in 0..1 of an image that is stretched, scores are probabilities, and nothing is suppressed.
"""

from __future__ import annotations

from dataclasses import dataclass

from jobs.detect.detectors.boxes import Candidates, Floats, best_class, candidates
from jobs.detect.detectors.letterbox import Pixels
from jobs.detect.heads import chosen, values
from jobs.detect.heads.base import Outputs, Reading, Size, Trial, corners, in_pixels, strides_of

#: Stretched, RGB, 0..1: as Ultralytics and the authors of RT-DETR, D-FINE and DEIM do.
PIXELS = Pixels("RGB", "stretch", std=(255.0, 255.0, 255.0))
#: Queries: 100 to 900 are trained, and mostly 300.
_FEWEST, _USUAL, _MOST = 50, 300, 1000
#: What the metadata calls its last module.
TRANSFORMER = "RTDETRDecoder"


@dataclass(frozen=True, slots=True)
class RtDetr:
    """`rows`: each query has its best class only, as score and class number."""

    rows: bool
    pixels: Pixels = PIXELS
    default_conf: float = 0.25
    #: Not used: a transformer finds an object once.
    default_iou: float = 0.7
    chosen_inside: bool = True
    threshold_inside: bool = False
    in_image: bool = False

    @property
    def name(self) -> str:
        return "rtdetr-rows" if self.rows else "rtdetr"

    def read(self, trial: Trial) -> Reading | None:
        out = trial.single()
        if out is None or not _FEWEST <= len(out) <= _MOST or out.shape[1] < 5 or _has_anchors(out, trial):
            return None
        if self.rows and out.shape[1] != 6:
            return None
        whole = not values.of_ids(out[:, 5]) if out.shape[1] == 6 else False
        if self.rows:
            of_scores = values.first(values.of_ids(out[:, 5]), values.of_scores(out[:, 4:5]))
        elif whole:
            of_scores = "its last column holds class numbers"
        else:
            of_scores = values.of_scores(out[:, 4:])
        return Reading(self, objection=values.first(of_scores, values.of_unit_boxes(out[:, :4])), sure=True)

    def classes(self, outputs: Outputs) -> int | None:
        return None if self.rows else int(outputs[0].shape[2]) - 4

    def decode(self, outputs: Outputs, size: Size, floor: float) -> Candidates:
        out = outputs[0][0]
        boxes = in_pixels(corners(out[:, :4]), size)
        if self.rows:
            return chosen.take(self.name, (boxes, out[:, 4], out[:, 5]), floor, chosen.order)
        rows, ids = best_class(out[:, 4:], floor)
        return candidates(boxes[rows], out[rows, 4 + ids], ids)


def _has_anchors(out: Floats, trial: Trial) -> bool:
    """Whether rows or columns are the anchors of a grid, and so rows are no queries. COCO's 84 columns are as many as
    the anchors of small networks: there the metadata tells, or as many queries as are trained, all of them in 0..1.
    """
    rows, columns = out.shape
    if trial.meta.head == TRANSFORMER or (rows == _USUAL and not values.of_unit_boxes(out[:, :4])):
        return False
    counts = (columns, rows, *([rows // 3] if rows % 3 == 0 else []))
    return any(strides_of(count, trial.size) for count in counts)
