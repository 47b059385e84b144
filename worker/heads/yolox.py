"""YOLOX: (1, cells, 5 + classes), with boxes relative to their cell (raw) or already in pixels (decoded).

Method: Ge et al., YOLOX (arXiv 2107.08430), and `postprocess` of its repository's `yolox/utils/boxes.py`
(Apache-2.0): a box's label is its best class, its score objectness times that class's score.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worker.boxes import Candidates, Floats, best_class, candidates
from worker.heads.base import Outputs, Size, are_anchors, are_logits, corners, grid
from worker.letterbox import Pixels

#: Cells. How far from its cell the centre of a box is at the most, on average; 0.5 to 2 in trained networks.
_NEAR = 8.0
_PIXELS = Pixels("BGR", "corner", "down")


@dataclass(frozen=True, slots=True)
class Yolox:
    """`decoded`: the graph was exported with its boxes in pixels (`--decode_in_inference`)."""

    decoded: bool
    pixels: Pixels = _PIXELS
    default_conf: float = 0.25
    default_iou: float = 0.45
    chosen_inside: bool = False

    @property
    def name(self) -> str:
        return "yolox-decoded" if self.decoded else "yolox"

    def accepts(self, outputs: Outputs, size: Size) -> bool:
        if len(outputs) != 1 or outputs[0].ndim != 3:
            return False
        batch, anchors, columns = outputs[0].shape
        if batch != 1 or columns < 6 or not are_anchors(anchors, columns, size):
            return False
        # Boxes in pixels need no grid.
        return self.decoded or bool(anchors == len(grid(size)[0]))

    def fits(self, outputs: Outputs, size: Size) -> bool:
        out = outputs[0][0]
        cells, strides = grid(size)
        if len(out) != len(cells) or are_logits(out[:, 4:]) or (out[:, 4] == 1).all():
            # Objectness of 1 everywhere is how anchor-free YOLOs fill YOLOv5's columns.
            return False
        raw = np.abs(out[:, :2] - 0.5).mean()
        decoded = np.abs(out[:, :2] / strides - cells - 0.5).mean()
        # In cells: a box's centre lies near its cell in the right reading, and far from it in the wrong one.
        right, wrong = (decoded, raw) if self.decoded else (raw, decoded)
        return bool(right < min(_NEAR, wrong / 2))

    def classes(self, outputs: Outputs) -> int:
        return int(outputs[0].shape[2]) - 5

    def decode(self, outputs: Outputs, size: Size, floor: float) -> Candidates:
        out = outputs[0][0]
        # No class score is over 1, so objectness under the floor can be left out first.
        likely = np.flatnonzero(out[:, 4] >= floor)
        part = out[likely]
        scores = part[:, 5:] * part[:, 4:5]
        rows, ids = best_class(scores, floor)
        boxes = part[:, :4] if self.decoded else _to_pixels(part[:, :4], likely, size)
        return candidates(corners(boxes)[rows], scores[rows, ids], ids)


def _to_pixels(boxes: Floats, rows: np.ndarray[tuple[int], np.dtype[np.intp]], size: Size) -> Floats:
    cells, strides = grid(size)
    centre = (boxes[:, :2] + cells[rows]) * strides[rows]
    with np.errstate(over="ignore"):
        # A side beyond float32 becomes inf: `suppress` refuses it where the score counts.
        sides = np.exp(boxes[:, 2:]) * strides[rows]
    return np.concatenate((centre, sides), axis=1)
