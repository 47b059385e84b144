"""NanoDet: per stride (1, cells, classes) scores and (1, cells, 4 x bins) distance distributions in; boxes out.

Method: Li et al., Generalized Focal Loss (arXiv 2006.04388), as in RangiLyu/nanodet's `gfl_head.py`: a box's
distance from its cell's centre to each side is the mean of a distribution over the bins, in strides. A box's label
is its best class, as in the demo of OpenCV's model zoo.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jobs.detect.detectors.boxes import Candidates, Floats, Indices, best_class, candidates
from jobs.detect.detectors.letterbox import Pixels
from jobs.detect.heads import values
from jobs.detect.heads.base import Outputs, Reading, Size, Trial, grid

_STRIDES = (8, 16, 32)
#: Channel means and deviations of NanoDet's own configurations, BGR.
MEAN, STD = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)
#: As OpenCV's model zoo letterboxes for it.
_PIXELS = Pixels("BGR", "centre", "down", 0, mean=MEAN, std=STD)


@dataclass(frozen=True, slots=True)
class NanoDet:
    name: str = "nanodet"
    pixels: Pixels = _PIXELS
    default_conf: float = 0.35
    default_iou: float = 0.6
    chosen_inside: bool = False
    threshold_inside: bool = False
    in_image: bool = False

    def read(self, trial: Trial) -> Reading | None:
        order = levels_of(trial, _STRIDES)
        if order is None:
            return None
        scores = [trial.outputs[index].reshape(-1, trial.outputs[index].shape[-1]) for index in order[::2]]
        return Reading(self, order, values.of_scores(np.concatenate(scores)), sure=True)

    def classes(self, outputs: Outputs) -> int:
        return int(outputs[0].shape[-1])

    def decode(self, outputs: Outputs, size: Size, floor: float) -> Candidates:
        scores, bins = joined(outputs)
        cells, strides = grid(size, _STRIDES)
        return decode(scores, bins, (cells + 0.5, strides), floor)


def levels_of(trial: Trial, strides: tuple[int, ...]) -> tuple[int, ...] | None:
    """The outputs as scores and bins, stride by stride, in any order that an exporter gives them: the first with a
    stride's number of cells holds its scores. None where a stride has no two outputs, or their columns differ.
    """
    outputs = trial.outputs
    if trial.extras or len(outputs) != 2 * len(strides) or not all(out.ndim in (2, 3) for out in outputs):
        return None
    order: list[int] = []
    for stride in strides:
        cells = -(-trial.size[0] // stride) * -(-trial.size[1] // stride)
        both = [index for index, out in enumerate(outputs) if out.shape[-2] == cells]
        if len(both) != 2:
            return None
        order += both
    scores, bins = ({outputs[index].shape[-1] for index in part} for part in (order[::2], order[1::2]))
    return tuple(order) if len(scores) == len(bins) == 1 and min(bins) % 4 == 0 else None


def joined(outputs: Outputs) -> tuple[Floats, Floats]:
    """The (n, classes) scores and (n, 4 x bins) bins of all strides, from outputs in `levels_of`'s order."""
    flat = [out if out.ndim == 2 else out[0] for out in outputs]
    return np.concatenate(flat[::2]), np.concatenate(flat[1::2])


def decode(scores: Floats, bins: Floats, points: tuple[Floats, Floats], floor: float) -> Candidates:
    """`points`: of each row, where in cells its distances begin, and its stride."""
    rows, ids = best_class(scores, floor)
    at, strides = (part[rows] for part in points)
    centre, distance = at * strides, _mean_bin(bins, rows) * strides
    found = np.concatenate((centre - distance[:, :2], centre + distance[:, 2:]), axis=1)
    return candidates(found, scores[rows, ids], ids)


def _mean_bin(bins: Floats, rows: Indices) -> Floats:
    """(n, 4 x bins) logits to the (rows, 4) expected bins."""
    logits = bins[rows].reshape(-1, 4, bins.shape[1] // 4)
    weights = np.exp(logits - logits.max(axis=2, keepdims=True))
    mean: Floats = (weights @ np.arange(logits.shape[2], dtype=np.float32)) / weights.sum(axis=2)
    return mean
