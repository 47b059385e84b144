"""NanoDet-Plus: (1, cells, classes + 4 x bins), scores and distance distributions side by side, in; boxes out.

Method: RangiLyu/nanodet's `nanodet_plus_head.py`, whose `_forward_onnx` writes this: as NanoDet, but distances begin at
a cell's corner, and there are four strides. Its configurations stretch the image (`keep_ratio: False`). The outputs of
each stride may also be apart, as eight.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from jobs.detect.detectors.boxes import Candidates, Floats
from jobs.detect.detectors.letterbox import Pixels
from jobs.detect.heads import values
from jobs.detect.heads.base import Outputs, Reading, Size, Trial, cells_of, strides_of
from jobs.detect.heads.nanodet import MEAN, STD, decode, joined, levels_of

_PIXELS = Pixels("BGR", "stretch", mean=MEAN, std=STD)
#: `reg_max` is 7.
_BINS = 8
#: Of the columns of bins: the share that leaves 0..1.
_NEARLY_ALL = 0.9
#: What its exporter calls the image.
_IMAGE = "data"
_DOUBT = "PicoDet gives the same outputs with boxes half a cell away, which no head reads"
_FOUR, _THREE = (8, 16, 32, 64), (8, 16, 32)


@dataclass(frozen=True, slots=True)
class NanoDetPlus:
    """`columns`: how many of the columns are classes; 0 where the outputs are apart or not known yet."""

    name: str = "nanodet-plus"
    pixels: Pixels = _PIXELS
    default_conf: float = 0.35
    default_iou: float = 0.6
    chosen_inside: bool = False
    threshold_inside: bool = False
    in_image: bool = False
    columns: int = 0

    def read(self, trial: Trial) -> Reading | None:
        if (order := levels_of(trial, _FOUR) or levels_of(trial, _THREE)) is not None:
            scores, _ = joined([trial.outputs[index] for index in order])
            # Three strides apart are NanoDet's unless the user says otherwise.
            sure = len(order) == 8 and trial.image_name == _IMAGE
            return Reading(self, order, values.of_scores(scores), sure, "" if sure else _DOUBT)
        out = trial.single()
        if out is None or strides_of(len(out), trial.size) is None:
            return None
        classes = _classes(out)
        if classes is None:
            return None
        return Reading(replace(self, columns=classes), objection=values.of_scores(out[:, :classes]), sure=True)

    def classes(self, outputs: Outputs) -> int:
        return self.columns or int(outputs[0].shape[-1])

    def decode(self, outputs: Outputs, size: Size, floor: float) -> Candidates:
        if self.columns:
            scores, bins = outputs[0][0][:, : self.columns], outputs[0][0][:, self.columns :]
        else:
            scores, bins = joined(outputs)
        return decode(scores, bins, cells_of(len(scores), size), floor)


def _classes(out: Floats) -> int | None:
    """How many of the columns are scores: those before the first that leaves 0..1, as the logits of all bins do; where
    some bins do not, as many as eight bins leave, which every published configuration has. None where that is not so.
    """
    outside = np.any((out < 0) | (out > 1), axis=0)
    if not outside.any():
        return None
    inside = int(outside.argmax())
    bins = len(outside) - inside
    if inside and bins % 4 == 0 and bins >= 8 and outside[inside:].mean() > _NEARLY_ALL:
        return inside
    usual = len(outside) - 4 * _BINS
    return usual if 0 < usual <= inside else None
