"""Says what in a network's values speaks against a reading of them, as a clause for the user; empty where nothing does.

Most come from an image of noise. Those that are not finite say nothing here: they fail each image later. Nor does a
single row: where there is nothing, networks that are not trained to give boxes there (YOLO26, YOLOv6-n) give a few that
are inverted, and rounding to float16 lets a score leave 0..1.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from jobs.detect.detectors.boxes import Floats

Mask = npt.NDArray[np.bool_]

#: By how much rounding lets a score leave 0..1.
ROUNDING = 1e-3
#: The share of rows that says nothing.
_FEW = 0.1
#: No rounding, in whatever precision, lets a score leave 0..1 by so much.
_FAR = 0.1
#: Boxes whose sides all end below this are not in pixels: no network input is so small.
_PIXEL = 2.0
#: Half of all anchors score more than this, and more than so many times as in any other class, in no class of a trained
#: detector that looks at noise.
_EVERYWHERE, _TIMES = 0.02, 5


def are_logits(scores: npt.NDArray[np.floating]) -> bool:
    """True where scores leave 0..1 by more than rounding: the graph has left out its last sigmoid."""
    return _leave(scores.reshape(-1, 1)).item()


def of_scores(scores: Floats) -> str:
    """(n, classes) of scores that must be probabilities; rows of zeros fill up, and say nothing."""
    filled = _filled(scores)
    outside = int(_leave(filled).sum())
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
    negative: Mask = np.any(_filled(boxes)[:, 2:] < 0, axis=1)
    if _many(negative):
        return "many of its boxes have negative sides, so these are no decoded boxes"
    if boxes.size and (boxes[:, 2:] == 0).all():
        return "all of its boxes are empty"
    return of_extent(boxes) or _of_centres(boxes)


def _of_centres(boxes: Floats) -> str:
    if len(boxes) > 1 and (boxes[:, 2:] > boxes[:, :2]).all(axis=1).mean() >= 1 - _FEW:
        return "its boxes are corners (x1 y1 x2 y2), not centre, width and height"
    return ""


def of_extent(boxes: Floats) -> str:
    """(n, 4) of values that must be in pixels; empty rows say nothing."""
    filled = _filled(boxes)
    small: Mask = np.all(np.abs(filled) < _PIXEL, axis=1)
    if len(filled) and not _many(~small):
        return "its boxes are in 0..1 of the image, not in pixels"
    return ""


def of_corners(boxes: Floats) -> str:
    """(n, 4) of x1 y1 x2 y2 in pixels."""
    if _many(are_inverted(_filled(boxes))):
        return "its boxes end before they begin, so these are not x1 y1 x2 y2"
    return of_extent(boxes)


def are_inverted(boxes: Floats) -> Mask:
    """(n,): which of (n, 4) x1 y1 x2 y2 end before they begin."""
    inverted: Mask = np.any(boxes[:, 2:] < boxes[:, :2], axis=1)
    return inverted


def of_unit_boxes(boxes: Floats) -> str:
    """(n, 4) of centre x, centre y, width, height in 0..1, as a transformer gives for each of its queries: a sigmoid
    has given them, so that none leaves 0..1.
    """
    if len(_filled(boxes)) < len(boxes):
        return "some of its boxes are empty, and a transformer's never are"
    if (boxes < -0.5).any() or (boxes > 1.5).any():
        return "its boxes are not in 0..1 of the image"
    if (boxes[:, 2:] < 0).any():
        return "some of its boxes have negative sides"
    return _of_centres(boxes)


def of_ids(ids: Floats) -> str:
    """(n,) of class numbers."""
    ids = ids[np.isfinite(ids)]
    if (ids != np.rint(ids)).any() or (ids < -1).any():
        return "its class numbers are not whole"
    return ""


def of_one_class(out: Floats) -> str:
    """(n, columns) of boxes, an objectness and classes, with as many rows as no grid has anchors."""
    if out.shape[1] == 6 and not (of_ids(out[:, 4]) and of_ids(out[:, 5])):
        return "one of its last two columns holds class numbers"
    return ""


def first(*objections: str) -> str:
    return next(filter(None, objections), "")


def _filled(rows: Floats) -> Floats:
    """Those that are not all zero, as exporters fill up."""
    filled: Floats = rows[(rows != 0).any(axis=1)]
    return filled


def _leave(scores: npt.NDArray[np.floating]) -> Mask:
    """(columns,): which of (n, columns) leave 0..1: many of their rows by more than rounding, or one of them by far."""
    beyond = np.maximum(-scores, scores - 1)
    many = (beyond > ROUNDING).mean(axis=0) > _FEW if len(scores) else np.zeros(scores.shape[1], np.bool_)
    leave: Mask = many | ((beyond > _FAR) & np.isfinite(scores)).any(axis=0)
    return leave


def _many(rows: Mask) -> bool:
    return bool(rows.size and rows.mean() > _FEW)
