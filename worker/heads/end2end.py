"""End to end: (1, n, 6), rows of x1 y1 x2 y2 score class that the graph has already chosen, in; the same out.

YOLOv10 and later (one box an object, no suppression: arXiv 2405.14458), and Ultralytics' exports with `nms=True`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worker.boxes import Candidates, candidates
from worker.heads.base import Outputs, Size, are_logits, grid
from worker.heads.ultralytics import PIXELS
from worker.letterbox import Pixels


@dataclass(frozen=True, slots=True)
class EndToEnd:
    name: str = "end2end"
    pixels: Pixels = PIXELS
    default_conf: float = 0.25
    #: Not used: what overlaps is decided in the graph.
    default_iou: float = 0.7
    chosen_inside: bool = True

    def accepts(self, outputs: Outputs, size: Size) -> bool:
        return len(outputs) == 1 and outputs[0].ndim == 3 and outputs[0].shape[::2] == (1, 6)

    def fits(self, outputs: Outputs, size: Size) -> bool:
        out = outputs[0][0]
        cells = len(grid(size)[0])
        whole_classes = bool((out[:, 5] == np.rint(out[:, 5])).all() and (out[:, 5] >= 0).all())
        # As many rows as anchors are the one-class outputs of YOLOX or YOLOv5.
        return len(out) not in (cells, 3 * cells) and whole_classes and not are_logits(out[:, 4])

    def classes(self, outputs: Outputs) -> None:
        return None

    def decode(self, outputs: Outputs, size: Size, floor: float) -> Candidates:
        out = outputs[0][0]
        part = out[out[:, 4] >= floor]
        return candidates(part[:, :4], part[:, 4], part[:, 5].astype(np.intp))
