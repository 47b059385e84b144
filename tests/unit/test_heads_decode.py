"""What each head makes of raw outputs, against plain transcriptions of the published methods."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from common.errors import ItemError
from jobs.detect.detectors.base import DetectOptions, ModelSource
from jobs.detect.detectors.boxes import Candidates
from jobs.detect.detectors.onnx import family
from jobs.detect.heads import HEADS
from jobs.detect.heads.base import Outputs, Trial
from tests.unit import onnx_graphs

SIZE = (64, 96)
FLOOR = 0.2
#: Cells of 8, 16 and 32 pixels in 64 x 96.
CELLS = 8 * 12 + 4 * 6 + 2 * 3


def rows_of(found: Candidates) -> list[tuple[float, ...]]:
    return sorted(
        (round(float(s), 4), int(c), *(round(float(side), 2) for side in box))
        for box, s, c in zip(found.boxes, found.scores, found.class_ids, strict=True)
    )


def cells() -> list[tuple[int, int, int]]:
    """(x, y, stride) in the order of the anchors."""
    return [(x, y, s) for s in (8, 16, 32) for y in range(SIZE[0] // s) for x in range(SIZE[1] // s)]


def box(x: float, y: float, width: float, height: float) -> tuple[float, ...]:
    return tuple(round(v, 2) for v in (x - width / 2, y - height / 2, x + width / 2, y + height / 2))


def test_yolox_raw() -> None:
    rng = np.random.default_rng(0)
    out = np.concatenate((rng.normal(0.5, 1, (CELLS, 4)), rng.random((CELLS, 5))), axis=1).astype(np.float32)
    expected = []
    for (x, y, stride), row in zip(cells(), out.astype(float), strict=True):
        best = int(row[5:].argmax())
        if (score := row[4] * row[5 + best]) >= FLOOR:
            centre = (row[0] + x) * stride, (row[1] + y) * stride
            expected.append((round(score, 4), best, *box(*centre, np.exp(row[2]) * stride, np.exp(row[3]) * stride)))
    found = HEADS["yolox"].decode([out[None]], SIZE, FLOOR)
    assert len(expected) > 20
    assert np.array(rows_of(found)) == pytest.approx(np.array(sorted(expected)), abs=0.011)


def test_a_side_beyond_all_bounds_is_left_to_suppression() -> None:
    out = np.ones((1, CELLS, 6), np.float32)
    out[..., 2] = 1000
    assert not np.isfinite(HEADS["yolox"].decode([out], SIZE, FLOOR).boxes).all()


@pytest.mark.parametrize("head", ["yolox-decoded", "yolov5"])
def test_boxes_in_pixels_with_objectness(head: str) -> None:
    rng = np.random.default_rng(1)
    out = np.concatenate((rng.uniform(0, 64, (50, 4)), rng.random((50, 4))), axis=1).astype(np.float32)
    expected = [
        (round(row[4] * row[5:].max(), 4), int(row[5:].argmax()), *box(*row[:4]))
        for row in out.astype(float)
        if row[4] * row[5:].max() >= FLOOR
    ]
    assert np.array(rows_of(HEADS[head].decode([out[None]], SIZE, FLOOR))) == pytest.approx(
        np.array(sorted(expected)), abs=0.011
    )


def test_yolov8_is_transposed_and_has_no_objectness() -> None:
    rng = np.random.default_rng(2)
    out = np.concatenate((rng.uniform(0, 64, (50, 4)), rng.random((50, 3)) * 0.6), axis=1).astype(np.float32)
    expected = [
        (round(row[4:].max(), 4), int(row[4:].argmax()), *box(*row[:4]))
        for row in out.astype(float)
        if row[4:].max() >= FLOOR
    ]
    found = HEADS["yolov8"].decode([out.T[None]], SIZE, FLOOR)
    assert np.array(rows_of(found)) == pytest.approx(np.array(sorted(expected)), abs=0.011)


def test_end_to_end_rows_are_taken_as_they_are() -> None:
    out = np.array([[1, 2, 30, 40, 0.9, 2], [5, 6, 7, 8, 0.1, 0]], np.float32)
    assert rows_of(HEADS["end2end"].decode([out[None]], SIZE, FLOOR)) == [(0.9, 2, 1, 2, 30, 40)]


@pytest.mark.parametrize("by_stride", [False, True])
def test_nanodet_distances_are_expected_bins(by_stride: bool) -> None:
    rng = np.random.default_rng(3)
    counts = [8 * 12, 4 * 6, 2 * 3]
    scores = [rng.random((1, n, 3)).astype(np.float32) * 0.3 for n in counts]
    bins = [rng.normal(0, 3, (1, n, 32)).astype(np.float32) for n in counts]
    expected = []
    for (x, y, stride), row, sides in zip(
        cells(), np.concatenate(scores, 1)[0].astype(float), np.concatenate(bins, 1)[0].astype(float), strict=True
    ):
        if row.max() >= FLOOR:
            left, top, right, bottom = (
                float((np.exp(part) / np.exp(part).sum()) @ np.arange(8)) * stride for part in sides.reshape(4, 8)
            )
            centre_x, centre_y = (x + 0.5) * stride, (y + 0.5) * stride
            corners = centre_x - left, centre_y - top, centre_x + right, centre_y + bottom
            expected.append((round(row.max(), 4), int(row.argmax()), *corners))
    outputs = [out for pair in zip(scores, bins, strict=True) for out in pair] if by_stride else scores + bins
    reading = HEADS["nanodet"].read(Trial(outputs, SIZE))
    assert reading is not None
    found = reading.head.decode([outputs[index] for index in reading.order], SIZE, FLOOR)
    assert len(expected) > 20
    assert np.array(rows_of(found)) == pytest.approx(np.array(sorted(expected)), abs=0.011)


@pytest.mark.parametrize("name", ["yolox", "yolox-decoded", "yolov5", "yolov8", "nanodet"])
def test_a_square_comes_back_where_it_was_in_the_image(name: str, tmp_path: Path) -> None:
    """Through letterbox, network and back: a 32-pixel cell of the network is 64 x 64 pixels of a 128 x 96 image."""
    make = onnx_graphs.yolox if name.startswith("yolox") else getattr(onnx_graphs, name)
    options = {"decoded": True} if name == "yolox-decoded" else {}
    detector = family.load(ModelSource("made", make(tmp_path / "made.onnx", **options)))
    image = np.zeros((128, 96, 3), np.uint8)
    # The cell at the left edge of the network's input lies under padding where the image is centred.
    left = 0 if name.startswith("yolox") else 48
    image[64:128, left : left + 64] = (255, 0, 0)
    options_ = DetectOptions(0.5, 0.5)
    found = detector.postprocess(detector.infer(detector.preprocess(image, options_)), image, options_)
    largest = found.boxes[np.argmax((found.boxes[:, 2] - found.boxes[:, 0]) * (found.boxes[:, 3] - found.boxes[:, 1]))]
    assert largest.tolist() == [left, 64, min(left + 64, 96), 128]
    blue = 0 if detector.info.preprocessing.startswith("BGR") else 2
    assert set(found.class_ids.tolist()) == {blue}


def of_rows(head: str, boxes: np.ndarray, scores: np.ndarray, ids: np.ndarray) -> Outputs:
    """What a head that reads chosen rows is given, in the order of its reading."""
    score, label, none = scores[:, None], ids[:, None], np.zeros((len(ids), 1))
    number = np.array([len(ids)])
    outputs = {
        "end2end": [np.hstack((boxes, score, label))[None]],
        "yolov7-end2end": [np.hstack((none, boxes, label, score))],
        "yolonas-flat": [np.hstack((none, boxes, score, label))],
        "efficientnms": [number, boxes[None], scores[None], ids[None]],
        "rtdetr-sized": [boxes[None], scores[None], ids[None]],
    }[head]
    return [out.astype(np.float32) for out in outputs]


CHOSEN = ["end2end", "yolov7-end2end", "yolonas-flat", "efficientnms"]
BOXES = np.array([[10, 10, 30, 40], [20, 5, 60, 50], [1, 2, 9, 8], [0, 0, 0, 0]])
SCORES, IDS = np.array([0.9, 0.8, 0.7, 0]), np.array([3, 0, 1, -1])


@pytest.mark.parametrize("head", [*CHOSEN, "rtdetr-sized"])
def test_chosen_rows_are_taken_without_those_that_fill_up(head: str) -> None:
    for floor in (0, FLOOR):
        found = HEADS[head].decode(of_rows(head, BOXES, SCORES, IDS), SIZE, floor)
        assert found.boxes.tolist() == BOXES[:3].tolist()
        assert found.class_ids.tolist() == [3, 0, 1]
    alone = BOXES.copy()
    alone[1, 2] = 0
    assert len(HEADS[head].decode(of_rows(head, alone, SCORES, IDS), SIZE, FLOOR).scores) == 3


@pytest.mark.parametrize("head", CHOSEN)
@pytest.mark.parametrize(
    ("boxes", "scores", "ids", "says"),
    [
        (BOXES, np.array([3, 0.8, 0.7, 0]), IDS, "one of its scores is 3, and none can be over 1"),
        (BOXES, SCORES, np.array([0.9, 1, 0, 0]), "one of its class numbers is 0.9"),
        (BOXES, SCORES, np.array([-2, 1, 0, 0]), "one of its class numbers is -2"),
        (BOXES[:, [2, 3, 0, 1]], SCORES, IDS, "most of its boxes end before they begin"),
        (BOXES / 100, SCORES, IDS, r"its boxes are in 0\.\.1 of the image"),
    ],
)
def test_chosen_rows_of_another_order_fail_the_image(
    head: str, boxes: np.ndarray, scores: np.ndarray, ids: np.ndarray, says: str
) -> None:
    with pytest.raises(ItemError, match=f"head {head} would read this image's boxes wrongly: {says}"):
        HEADS[head].decode(of_rows(head, boxes, scores, ids), SIZE, FLOOR)
