"""Candidate boxes in, the detections of one image out: floor, class-wise hard NMS, clipping, one fixed order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from common.errors import ItemCode, ItemError
from common.limits import MAX_CANDIDATES
from jobs.detect.detectors.base import Detections

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]
Indices = npt.NDArray[np.intp]

#: Candidates that are compared with each other at once. Measured: smaller means more Python, larger more pairs.
_BLOCK = 128


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """What a head saw, before suppression: boxes (n, 4) float32 x1 y1 x2 y2, scores (n,), class_ids (n,)."""

    boxes: Floats
    scores: Floats
    class_ids: Ints

    def take(self, rows: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> Candidates:
        return Candidates(self.boxes[rows], self.scores[rows], self.class_ids[rows])


def candidates(boxes: npt.NDArray[np.floating], scores: npt.NDArray[np.floating], ids: Indices) -> Candidates:
    return Candidates(
        boxes.astype(np.float32, copy=False),
        scores.astype(np.float32, copy=False),
        ids.astype(np.int32),
    )


def refuse_nan(outputs: Iterable[Floats]) -> None:
    """Raises ItemError where a network's raw outputs hold NaN: it has overflowed, and comparisons would hide that.

    Infinity is left to `suppress`: a logit of a masked class, or a far box of no score, may be infinite.
    """
    # The least of an array with a NaN in it is NaN; cheaper than a mask.
    if any(out.size and np.isnan(out.min()) for out in outputs):
        raise _no_numbers("NaN")


def _no_numbers(what: str) -> ItemError:
    return ItemError(
        ItemCode.DETECTOR_ERROR,
        f"the network gave {what} instead of numbers; export it again in float32 (half=False), and check its weights",
    )


def best_class(scores: Floats, floor: float) -> tuple[Indices, Indices]:
    """Rows and classes of each row's best of the (n, classes) scores, where not below the floor: NaN stays, and
    `suppress` refuses it.
    """
    rows = np.flatnonzero(~(scores.max(axis=1) < floor))
    return rows, scores[rows].argmax(axis=1)


def suppress(found: Candidates, iou: float | None, floor: float) -> Candidates:
    """At most MAX_CANDIDATES boxes at or above the floor, best first, less those that a better box of
    their class overlaps by more than `iou`; None suppresses nothing (the graph has done so).

    A box is only ever suppressed by a better one, so filtering the result by a higher score equals suppressing
    with that floor. Raises ItemError where one of them is not finite; below the floor, a box may be anything.
    """
    found = found.take(~(found.scores < floor))
    if not (np.isfinite(found.scores).all() and np.isfinite(found.boxes).all()):
        raise _no_numbers("infinite boxes or scores")
    if len(found.scores) > MAX_CANDIDATES:
        # A cheap cut first: ties at the limit stay, and the full order decides between them.
        least = -np.partition(-found.scores, MAX_CANDIDATES - 1)[MAX_CANDIDATES - 1]
        found = found.take(found.scores >= least)
    found = found.take(best_first(found)[:MAX_CANDIDATES])
    return found if iou is None else found.take(nms(found, iou))


def finish(found: Candidates, height: int, width: int) -> Detections:
    """Boxes in image pixels, clipped; those that lie outside the image are left out."""
    limit = np.array((width, height, width, height), np.float32)
    boxes = np.clip(found.boxes, 0, limit)
    inside = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    clipped = Candidates(boxes, found.scores, found.class_ids).take(inside)
    clipped = clipped.take(best_first(clipped))
    return Detections(clipped.boxes, clipped.scores, clipped.class_ids)


def best_first(found: Candidates) -> Indices:
    """Score descending, then class, then box: no two different boxes tie, so the order is the only one."""
    boxes = found.boxes
    return np.lexsort((boxes[:, 3], boxes[:, 2], boxes[:, 1], boxes[:, 0], found.class_ids, -found.scores))


def nms(found: Candidates, iou: float) -> Indices:
    """Greedy class-wise suppression of candidates that are sorted best first; returns the kept rows, ascending.

    Exact, as in Girshick et al., R-CNN (2014): `intersection / union > iou` with a kept, better box of the class
    removes a box. Works class by class in blocks, so that thousands of candidates need little time and memory.
    """
    by_class = np.argsort(found.class_ids, kind="stable")
    ids = found.class_ids[by_class]
    kept = np.empty(0, np.intp)
    for start in range(0, len(by_class), _BLOCK):
        block = by_class[start : start + _BLOCK]
        # Blocks are in the order of classes: only the first one's class can have boxes kept before.
        rivals = kept[found.class_ids[kept] == ids[start]]
        if len(rivals):
            block = block[~_beats(found, rivals, block, iou).any(axis=0)]
        beats = np.triu(_beats(found, block, block, iou), 1)
        alive = np.ones(len(block), np.bool_)
        for row in np.flatnonzero(beats.any(axis=1)):
            if alive[row]:
                alive &= ~beats[row]
        kept = np.concatenate((kept, block[alive]))
    return np.sort(kept)


def overlaps(ours: Floats, theirs: Floats) -> Floats:
    """(n, m) intersection over union of (n, 4) and (m, 4) boxes; 0 where both are empty."""
    shared, union = _areas(ours, theirs)
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def _beats(found: Candidates, ours: Indices, theirs: Indices, iou: float) -> npt.NDArray[np.bool_]:
    """(ours, theirs): True where two boxes of one class overlap by more than `iou`."""
    shared, union = _areas(found.boxes[ours], found.boxes[theirs])
    same = found.class_ids[ours][:, None] == found.class_ids[theirs]
    over: npt.NDArray[np.bool_] = (shared > iou * union) & same
    return over


def _areas(ours: Floats, theirs: Floats) -> tuple[Floats, Floats]:
    """(n, m) of the intersections and of the unions."""
    x1, y1, x2, y2 = (side[:, None] for side in ours.T)
    u1, v1, u2, v2 = theirs.T
    width = np.minimum(x2, u2) - np.maximum(x1, u1)
    height = np.minimum(y2, v2) - np.maximum(y1, v1)
    shared = np.maximum(width, 0) * np.maximum(height, 0)
    union = (x2 - x1) * (y2 - y1) + (u2 - u1) * (v2 - v1) - shared
    return shared, union
