"""Says what in a network's values speaks against a reading of them, as a clause for the user; empty where nothing does.

The values come from an image of noise. Those that are not finite say nothing here: they fail each image later.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from worker.boxes import Floats

#: By how much rounding lets a score leave 0..1.
_ROUNDING = 1e-3
#: Boxes whose sides all end below this are not in pixels: no network input is so small.
_PIXEL = 2.0
#: Half of all anchors score more than this, and more than so many times as in any other class, in no class of a trained
#: detector that looks at noise.
_EVERYWHERE, _TIMES = 0.02, 5


def are_logits(scores: npt.NDArray[np.floating]) -> bool:
    """True where scores leave 0..1 by more than rounding: the graph has left out its last sigmoid."""
    return bool((scores < -_ROUNDING).any() or (scores > 1 + _ROUNDING).any())


def of_scores(scores: Floats) -> str:
    """(n, classes) of scores that must be probabilities."""
    outside = int(((scores < -_ROUNDING) | (scores > 1 + _ROUNDING)).any(axis=0).sum())
    if not outside:
        return ""
    if outside == scores.shape[1]:
        return "its scores leave 0..1: the graph lacks its last sigmoid, or these are no scores; export it with it"
    return (
        f"{outside} of the {scores.shape[1]} columns of scores leave 0..1, as keypoints (pose), mask coefficients "
        "(segmentation) and angles (OBB) do; export a detector"
    )


def of_classes(scores: Floats) -> str:
    """(n, classes) of a model whose metadata does not say that it is a detector."""
    if objection := of_scores(scores):
        return objection
    if scores.shape[0] == 0 or scores.shape[1] == 1:
        return ""
    *others, last = np.median(scores, axis=0)
    if last > max(_EVERYWHERE, _TIMES * max(others)):
        return "its last column of scores is high nearly everywhere: an angle (OBB) is, no class is; export a detector"
    return ""


def of_sides(boxes: Floats) -> str:
    """(n, 4) of centre x, centre y, width, height of all anchors, which must be in network pixels."""
    sides = boxes[:, 2:]
    if (sides < 0).any():
        return "some of its boxes have negative sides, so these are no decoded boxes"
    if boxes.size and (sides == 0).all():
        return "all of its boxes are empty"
    if objection := of_extent(boxes):
        return objection
    if len(boxes) > 1 and (boxes[:, 2:] > boxes[:, :2]).all():
        return "its boxes are corners (x1 y1 x2 y2), not centre, width and height"
    return ""


def of_extent(boxes: Floats) -> str:
    """(n, 4) of values that must be in pixels; empty rows say nothing."""
    if boxes.size and (boxes != 0).any() and np.abs(boxes).max() < _PIXEL:
        return "its boxes are in 0..1 of the image, not in pixels"
    return ""


def of_corners(boxes: Floats) -> str:
    """(n, 4) of x1 y1 x2 y2 in pixels."""
    if (boxes[:, 2:] < boxes[:, :2]).any():
        return "its boxes end before they begin, so these are not x1 y1 x2 y2"
    return of_extent(boxes)


def of_unit_boxes(boxes: Floats) -> str:
    """(n, 4) of centre x, centre y, width, height in 0..1, as a transformer gives for each of its queries."""
    if boxes.size and not (boxes != 0).any():
        return "all of its boxes are empty, and a transformer's never are"
    if (boxes < -0.5).any() or (boxes > 1.5).any():
        return "its boxes are not in 0..1 of the image"
    if (boxes[:, 2:] < 0).any():
        return "some of its boxes have negative sides"
    if len(boxes) > 1 and (boxes[:, 2:] > boxes[:, :2]).all():
        return "its boxes are corners (x1 y1 x2 y2), not centre, width and height"
    return ""


def of_ids(ids: Floats) -> str:
    """(n,) of class numbers."""
    if (ids != np.rint(ids)).any() or (ids < -1).any():
        return "its class numbers are not whole"
    return ""


def first(*objections: str) -> str:
    return next(filter(None, objections), "")
