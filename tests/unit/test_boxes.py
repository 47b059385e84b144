"""Floor, suppression, clipping and order, against a plain loop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import ItemCode, ItemError
from common.limits import MAX_CANDIDATES
from jobs.detect.detectors import boxes
from jobs.detect.detectors.boxes import Candidates


def some(seed: int, count: int, classes: int = 3, side: int = 60) -> Candidates:
    """Boxes that overlap a lot, with scores of two decimals, so that many tie."""
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, side, (count, 2))
    sides = rng.integers(1, side, (count, 2))
    return boxes.candidates(
        np.concatenate((corner, corner + sides), axis=1).astype(np.float32),
        np.round(rng.random(count), 2),
        rng.integers(0, classes, count),
    )


def plainly(found: Candidates, iou: float, floor: float) -> list[tuple[float, ...]]:
    """Greedy class-wise suppression as one would write it down."""
    rows = sorted(
        (-float(s), int(c), *map(float, b))
        for b, s, c in zip(found.boxes, found.scores, found.class_ids, strict=True)
        if s >= np.float32(floor)
    )
    kept: list[tuple[float, ...]] = []
    for row in rows:
        if not any(row[1] == better[1] and overlap(row[2:], better[2:]) > iou for better in kept):
            kept.append(row)
    return kept


def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return shared / (areas - shared)


def rows_of(found: Candidates) -> list[tuple[float, ...]]:
    return [
        (-float(s), int(c), *map(float, b)) for b, s, c in zip(found.boxes, found.scores, found.class_ids, strict=True)
    ]


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.integers(0, 400), st.sampled_from([0.3, 0.45, 0.7]), st.sampled_from([0.0, 0.31]))
def test_equals_the_plain_loop_also_over_several_blocks(seed: int, count: int, iou: float, floor: float) -> None:
    found = some(seed, count)
    assert rows_of(boxes.suppress(found, iou, floor)) == plainly(found, iou, floor)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.floats(0, 1))
def test_filtering_afterwards_equals_suppressing_with_that_floor(seed: int, conf: float) -> None:
    found = some(seed, 300)
    low = boxes.suppress(found, 0.45, 0.0)
    assert rows_of(low.take(low.scores >= conf)) == rows_of(boxes.suppress(found, 0.45, conf))


def test_the_order_of_candidates_does_not_matter() -> None:
    found = some(1, 300)
    shuffled = found.take(np.random.default_rng(0).permutation(300))
    assert rows_of(boxes.suppress(found, 0.5, 0.1)) == rows_of(boxes.suppress(shuffled, 0.5, 0.1))


def test_classes_do_not_suppress_each_other() -> None:
    same = np.array([[0, 0, 10, 10]] * 2, np.float32)
    found = boxes.candidates(same, np.array([0.9, 0.8]), np.array([0, 1]))
    assert len(boxes.suppress(found, 0.5, 0.0).scores) == 2


@pytest.mark.parametrize(("iou", "kept"), [(0.32, 2), (0.34, 2), (0.33, 2), (0.3, 1)])
def test_only_more_than_the_threshold_suppresses(iou: float, kept: int) -> None:
    # Overlap of 5 x 10 in a union of 15 x 10, scaled so that it is 3 / 10 more than 0.3 and less than 0.32.
    pair = np.array([[0, 0, 100, 10], [52.7, 0, 152.7, 10]], np.float32)
    found = boxes.candidates(pair, np.array([0.9, 0.8]), np.array([0, 0]))
    assert len(boxes.suppress(found, iou, 0.0).scores) == kept


def test_no_more_than_the_limit_and_those_are_the_best() -> None:
    count = MAX_CANDIDATES + 500
    rng = np.random.default_rng(0)
    far_apart = np.arange(count, dtype=np.float32)[:, None] * 10 + np.array([0, 0, 5, 5], np.float32)
    found = boxes.candidates(far_apart, rng.random(count), np.zeros(count, np.intp))
    kept = boxes.suppress(found, 0.5, 0.0)
    assert len(kept.scores) == MAX_CANDIDATES
    assert kept.scores.min() == np.sort(found.scores)[-MAX_CANDIDATES]


@pytest.mark.parametrize(
    ("box", "score"),
    [((0, 0, np.inf, 5), 0.9), ((0, np.nan, 5, 5), 0.9), ((0, 0, 5, 5), np.nan), ((0, 0, 5, 5), np.inf)],
)
def test_a_candidate_that_is_not_finite_fails_the_image(box: tuple[float, ...], score: float) -> None:
    rows = np.array([(0, 0, 5, 5), box], np.float32)
    found = boxes.candidates(rows, np.array([0.9, score]), np.zeros(2, np.intp))
    with pytest.raises(ItemError, match=r"instead of numbers; export it again in float32") as raised:
        boxes.suppress(found, None, 0.5)
    assert raised.value.code is ItemCode.DETECTOR_ERROR


def test_a_box_below_the_floor_may_be_infinite() -> None:
    rows = np.array([(0, 0, 5, 5), (-np.inf, 0, np.inf, 5)], np.float32)
    found = boxes.candidates(rows, np.array([0.9, 0.1]), np.zeros(2, np.intp))
    assert boxes.suppress(found, 0.5, 0.5).boxes.tolist() == [[0, 0, 5, 5]]


def test_a_row_of_scores_with_nan_is_not_lost_under_the_floor() -> None:
    scores = np.array([[0.1, 0.2], [0.1, np.nan], [0.6, 0.2]], np.float32)
    rows, ids = boxes.best_class(scores, 0.5)
    assert (rows.tolist(), ids.tolist()) == ([1, 2], [1, 0])


def test_nan_is_refused_in_raw_outputs_and_infinity_is_not() -> None:
    fine = np.array([[-np.inf, 1e38, np.inf]], np.float32)
    boxes.refuse_nan([fine, np.empty((0, 6), np.float32)])
    with pytest.raises(ItemError, match="NaN instead of numbers"):
        boxes.refuse_nan([fine, np.array([0, np.nan], np.float32)])


def test_boxes_are_clipped_and_those_outside_left_out() -> None:
    found = boxes.candidates(
        np.array([[-5, -5, 5, 5], [90, 40, 200, 200], [101, 0, 120, 10], [0, -9, 10, 0]], np.float32),
        np.array([0.5, 0.9, 0.8, 0.8]),
        np.zeros(4, np.intp),
    )
    shown = boxes.finish(found, height=50, width=100)
    assert shown.boxes.tolist() == [[90, 40, 100, 50], [0, 0, 5, 5]]
    assert (shown.boxes.dtype, shown.scores.dtype, shown.class_ids.dtype) == (np.float32, np.float32, np.int32)


def test_ties_are_ordered_by_class_then_by_the_clipped_box() -> None:
    found = boxes.candidates(
        np.array([[-1, 7, 5, 9], [-2, 8, 5, 9], [0, 0, 5, 5]], np.float32), np.full(3, 0.5), np.array([1, 1, 0])
    )
    shown = boxes.finish(found, height=10, width=10)
    assert shown.class_ids.tolist() == [0, 1, 1]
    assert shown.boxes[1:, 1].tolist() == [7, 8]


def test_overlaps_are_intersection_over_union() -> None:
    ours = np.array([[0, 0, 10, 10], [0, 0, 0, 0]], np.float32)
    theirs = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [0, 0, 0, 0]], np.float32)
    assert boxes.overlaps(ours, theirs) == pytest.approx(np.array([[1, 1 / 3, 0], [0, 0, 0]]))
