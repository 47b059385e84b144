"""Takes the rows that a graph has chosen itself, and fails an image whose rows are not what their head expects."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from common.errors import ItemCode, ItemError
from jobs.detect.detectors.boxes import Candidates, Floats, candidates
from jobs.detect.heads import values

#: The class number of a row that only fills up.
_NONE = -1


def order(boxes: Floats) -> str:
    """(n, 4) of x1 y1 x2 y2 in whatever unit. One inverted among others is left out later, as one without an area."""
    if len(boxes) and values.are_inverted(boxes).mean() > 0.5:
        return "most of its boxes end before they begin, so these are not x1 y1 x2 y2"
    return ""


def pixels(boxes: Floats) -> str:
    """(n, 4) of x1 y1 x2 y2 in network pixels."""
    return order(boxes) or values.of_extent(boxes)


def take(
    head: str, rows: tuple[Floats, Floats, Floats], floor: float, objection: Callable[[Floats], str]
) -> Candidates:
    """`rows`: boxes (n, 4), scores (n,) and class numbers (n,), of which those below the floor and those that only fill
    up are left out. `objection` says what speaks against the boxes of the others.

    Noise may show such a graph nothing, so that its order of columns is seen only here. Raises ItemError where a score
    is over 1, a class number is not whole or a box not a box: the image fails, and nothing is reported wrongly.
    """
    boxes, scores, ids = rows
    found = np.flatnonzero((scores >= floor) & (ids != _NONE))
    boxes, scores, ids = boxes[found], scores[found], ids[found]
    # What is infinite is refused by `suppress`, which says so.
    if against := values.first(_of_scores(scores), _of_ids(ids), objection(boxes)):
        raise ItemError(
            ItemCode.DETECTOR_ERROR,
            f"head {head} would read this image's boxes wrongly: {against}; choose the --head that is the model's, or "
            "export it in a form that one reads",
        )
    return candidates(boxes, scores, ids.astype(np.intp))


def _of_scores(scores: Floats) -> str:
    over = scores[np.isfinite(scores) & (scores > 1 + values.ROUNDING)]
    return f"one of its scores is {over.max():g}, and none can be over 1" if len(over) else ""


def _of_ids(ids: Floats) -> str:
    wrong = ids[~np.isfinite(ids) | (ids != np.rint(ids)) | (ids < 0)]
    return f"one of its class numbers is {wrong[0]:g}" if len(wrong) else ""
