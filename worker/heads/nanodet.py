"""NanoDet: per stride (1, cells, classes) scores and (1, cells, 4 x bins) distance distributions in; boxes out.

Method: Li et al., Generalized Focal Loss (arXiv 2006.04388), as in RangiLyu/nanodet's `gfl_head.py`: a box's
distance from its cell's centre to each side is the mean of a distribution over the bins, in strides. A box's label
is its best class, as in the demo of OpenCV's model zoo.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worker.boxes import Candidates, Floats, best_class, candidates
from worker.heads.base import STRIDES, Outputs, Size, are_logits, grid
from worker.letterbox import Pixels

#: As OpenCV's model zoo letterboxes for it; channel means and deviations of NanoDet's own configurations.
_PIXELS = Pixels("BGR", "centre", "down", 0, mean=(103.53, 116.28, 123.675), std=(57.375, 57.12, 58.395))


@dataclass(frozen=True, slots=True)
class NanoDet:
    name: str = "nanodet"
    pixels: Pixels = _PIXELS
    default_conf: float = 0.35
    default_iou: float = 0.6
    chosen_inside: bool = False

    def accepts(self, outputs: Outputs, size: Size) -> bool:
        if len(outputs) != 2 * len(STRIDES) or not all(out.ndim in (2, 3) for out in outputs):
            return False
        try:
            levels = _levels(outputs, size)
        except LookupError:
            return False
        shapes = {(scores.shape[1], bins.shape[1]) for scores, bins in levels}
        return len(shapes) == 1 and next(iter(shapes))[1] % 4 == 0

    def fits(self, outputs: Outputs, size: Size) -> bool:
        return not any(are_logits(scores) for scores, _ in _levels(outputs, size))

    def classes(self, outputs: Outputs) -> int:
        return int(outputs[0].shape[-1])

    def decode(self, outputs: Outputs, size: Size, floor: float) -> Candidates:
        levels = _levels(outputs, size)
        scores = np.concatenate([scores for scores, _ in levels])
        rows, ids = best_class(scores, floor)
        bins = np.concatenate([bins for _, bins in levels])[rows]
        cells, strides = grid(size)
        centre = (cells[rows] + 0.5) * strides[rows]
        distance = _mean_bin(bins) * strides[rows]
        found = np.concatenate((centre - distance[:, :2], centre + distance[:, 2:]), axis=1)
        return candidates(found, scores[rows, ids], ids)


def _levels(outputs: Outputs, size: Size) -> list[tuple[Floats, Floats]]:
    """Scores and distributions of each stride. Exporters order the outputs by kind or by stride; either way the
    first with a stride's number of cells holds its scores. Raises LookupError where a stride has no two outputs.
    """
    flat = [out.reshape(-1, out.shape[-1]) for out in outputs]
    levels = []
    for stride in STRIDES:
        count = (size[0] // stride) * (size[1] // stride)
        both = [out for out in flat if len(out) == count]
        if len(both) != 2:
            raise LookupError(stride)
        levels.append((both[0], both[1]))
    return levels


def _mean_bin(bins: Floats) -> Floats:
    """(n, 4 x bins) logits to (n, 4) expected bins."""
    logits = bins.reshape(-1, 4, bins.shape[1] // 4)
    weights = np.exp(logits - logits.max(axis=2, keepdims=True))
    mean: Floats = (weights @ np.arange(logits.shape[2], dtype=np.float32)) / weights.sum(axis=2)
    return mean
