"""Which head reads a network's outputs: by metadata, anchors and values; and when nobody can say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from common.errors import ModelError
from jobs.detect import heads
from jobs.detect.detectors.base import ModelSource
from jobs.detect.detectors.onnx import OnnxDetector, family
from jobs.detect.heads.base import Trial
from jobs.detect.heads.yolo.ultralytics import Metadata
from tests.unit import onnx_graphs

SIZE = (64, 64)
#: Cells of 8, 16 and 32 pixels in 64 x 64.
CELLS = 84
THREE = "{0: 'cat', 1: 'dog', 2: 'hen'}"


def load(path: Path, head: str | None = None, labels: Path | None = None) -> OnnxDetector:
    return family.load(ModelSource("made", path, head, labels))


def recognise(*outputs: np.ndarray, ultralytics: bool = False) -> str:
    trial = Trial(outputs, SIZE, meta=Metadata(is_detector=ultralytics))
    return heads.recognise(trial, "m.onnx").head.name


def positive(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(0.01, 0.9, shape).astype(np.float32)


def boxes_and_scores(anchors: int, columns: int) -> np.ndarray:
    """(1, anchors, columns), the first four in pixels."""
    out = positive(1, anchors, columns)
    out[..., :4] *= SIZE[0]
    return out


@pytest.mark.parametrize(
    ("head", "make"),
    [
        ("yolox", onnx_graphs.yolox),
        ("yolox", lambda path: onnx_graphs.yolox(path, classes=1)),
        ("yolox", lambda path: onnx_graphs.yolox(path, size=None)),
        ("yolox-decoded", lambda path: onnx_graphs.yolox(path, decoded=True)),
        ("yolov5", onnx_graphs.yolov5),
        ("yolov5", lambda path: onnx_graphs.yolov5(path, classes=1)),
        ("yolov8", onnx_graphs.yolov8),
        ("yolov8", lambda path: onnx_graphs.yolov8(path, classes=80)),
        ("yolov8", lambda path: onnx_graphs.yolov8(path, metadata={"task": "detect", "names": THREE})),
        ("yolov5", lambda path: onnx_graphs.yolov5(path, metadata={"task": "detect", "names": THREE})),
        ("end2end", lambda path: onnx_graphs.end2end(path, metadata={"names": THREE})),
        ("end2end", lambda path: onnx_graphs.end2end(path, nms=True, metadata={"names": THREE})),
        ("nanodet", onnx_graphs.nanodet),
        ("nanodet", lambda path: onnx_graphs.nanodet(path, by_stride=True)),
    ],
)
def test_each_head_is_recognised_without_being_named(head: str, make: Callable[[Path], Path], tmp_path: Path) -> None:
    assert load(make(tmp_path / "made.onnx")).info.head == head


def test_an_objectness_of_one_everywhere_is_not_yolox() -> None:
    # YOLOv6 has one anchor a cell, like YOLOX, but takes RGB / 255 in the centre.
    out = onnx_graphs._centres_and_sides(64)
    rows = np.concatenate((out, np.ones((CELLS, 1)), positive(CELLS, 3)), axis=1)[None].astype(np.float32)
    assert recognise(rows) == "yolov5"


def test_metadata_decides_where_the_number_of_anchors_is_unusual() -> None:
    out = boxes_and_scores(500, 7).transpose(0, 2, 1)
    out[:, -1] *= 0.01
    assert recognise(out, ultralytics=True) == "yolov8"
    with pytest.raises(ModelError, match=r"could be yolov8's, but nothing in them shows.*choose with --head: yolov8$"):
        recognise(out)


def test_two_readings_that_remain_are_refused_with_the_choices(tmp_path: Path) -> None:
    path = onnx_graphs.constant(tmp_path / "odd.onnx", boxes_and_scores(500, 8))
    with pytest.raises(ModelError, match="choose with --head: yolox-decoded, yolov5"):
        load(path)
    assert load(path, "yolov5").info.head == "yolov5"
    assert load(path, "yolox-decoded").info.head == "yolox-decoded"


def test_values_that_are_near_neither_reading_of_yolox_are_refused() -> None:
    rows = positive(1, CELLS, 8)
    rows[..., :2] = 1000
    with pytest.raises(ModelError, match=r"choose with --head: yolov5$"):
        recognise(rows)


def end_to_end(inverted: int, classes: int = 1) -> np.ndarray:
    """(1, 300, 6) x1 y1 x2 y2 score class, of which so many end before they begin."""
    out = np.concatenate((np.sort(positive(300, 4), axis=1) * 640, positive(300, 1), np.zeros((300, 1))), axis=1)
    out[:, 5] = np.arange(300) % classes
    out[:inverted, 2] = out[:inverted, 0] - 0.5
    return out[None].astype(np.float32)


@pytest.mark.parametrize("inverted", [0, 1, 20])
@pytest.mark.parametrize("classes", [1, 80])
def test_a_few_inverted_rows_of_background_say_nothing(inverted: int, classes: int) -> None:
    for meta in (Metadata(), Metadata(is_detector=True), Metadata(is_detector=True, head="Detect")):
        trial = Trial([end_to_end(inverted, classes)], (640, 640), meta=meta)
        assert heads.recognise(trial, "m.onnx").head.name == "end2end"
        assert heads.named("end2end", trial, "m.onnx").head.name == "end2end"


@pytest.mark.parametrize("ultralytics", [False, True])
def test_many_inverted_rows_are_refused_without_advice_that_ends_in_an_empty_run(ultralytics: bool) -> None:
    trial = Trial([end_to_end(100)], (640, 640), meta=Metadata(is_detector=ultralytics))
    with pytest.raises(ModelError, match="end2end's, but its boxes end before they begin"):
        heads.recognise(trial, "m.onnx")
    with pytest.raises(ModelError, match=r"end before they begin.*; no head reads them$"):
        heads.named("end2end", trial, "m.onnx")
    with pytest.raises(ModelError, match="one of its last two columns holds class numbers"):
        heads.named("yolov5", trial, "m.onnx")


@pytest.mark.parametrize(
    ("at", "value"),
    [((2, 9), -0.01), ((5, 9), 1.002), ((5, 9), -0.05), ((5, slice(0, 3)), np.inf), ((slice(None), 9), np.inf)],
)
def test_a_lone_value_in_the_noise_says_nothing(at: tuple[int | slice, int | slice], value: float) -> None:
    yolov8 = np.concatenate((onnx_graphs._centres_and_sides(64).T, positive(3, CELLS) * 0.01)).astype(np.float32)
    yolov8[at] = value
    assert recognise(yolov8[None]) == recognise(yolov8[None], ultralytics=True) == "yolov8"
    yolov6 = np.insert(yolov8, 4, 1, axis=0).T[None]
    assert recognise(yolov6) == "yolov5"


def test_corners_are_corners_though_one_is_inverted() -> None:
    boxes = onnx_graphs._centres_and_sides(64)
    corners = np.concatenate((boxes[:, :2] - 2, boxes[:, :2] + 2, positive(CELLS, 3) * 0.01), axis=1)
    corners[5, 2] = corners[5, 0] - 1
    with pytest.raises(ModelError, match="its boxes are corners"):
        recognise(corners.T[None].astype(np.float32))


def test_class_before_score_is_not_read_as_an_objectness_of_none() -> None:
    out = end_to_end(100)[:, :, [0, 1, 2, 3, 5, 4]]
    for head in ("yolov5", "yolox-decoded"):
        with pytest.raises(ModelError, match=r"one of its last two columns holds class numbers; no head reads them$"):
            heads.named(head, Trial([out], (640, 640)), "m.onnx")


def test_a_shape_of_ultralytics_is_not_read_as_another_of_theirs_by_chance() -> None:
    pixels = boxes_and_scores(300, 20)
    with pytest.raises(ModelError, match=r"rtdetr's, but its boxes are not in 0\.\.1"):
        heads.recognise(Trial([pixels], (640, 640), meta=Metadata(is_detector=True)), "m.onnx")
    five_a_cell = boxes_and_scores(10_500, 20)
    trial = Trial([five_a_cell], (320, 320), meta=Metadata(is_detector=True))
    assert heads.recognise(trial, "m.onnx").head.name == "yolov5"


@pytest.mark.parametrize(
    ("count", "meta"), [(300, Metadata()), (100, Metadata(is_detector=True, head="RTDETRDecoder"))]
)
def test_a_transformers_columns_may_be_as_many_as_anchors(count: int, meta: Metadata) -> None:
    queries = np.concatenate((positive(count, 4), positive(count, CELLS - 4) * 0.01), axis=1)[None]
    assert heads.recognise(Trial([queries], SIZE, meta=meta), "m.onnx").head.name == "rtdetr"


def test_a_transformer_fills_every_query() -> None:
    rows = np.zeros((1, 300, 6), np.float32)
    rows[0, :299] = (0.5, 0.5, 0.1, 0.2, 0.01, 0)
    with pytest.raises(ModelError, match="some of its boxes are empty"):
        heads.named("rtdetr-rows", Trial([rows], (640, 640)), "m.onnx")


def test_scores_outside_0_to_1_fit_no_head() -> None:
    logits = positive(1, 7, CELLS)
    logits[:, 4:] = -8
    with pytest.raises(ModelError, match=r"its scores leave 0\.\.1: the graph lacks its last sigmoid"):
        recognise(logits)


@pytest.mark.parametrize(
    ("outputs", "says"),
    [
        ([np.zeros((1, 1000), np.float32)], "classification"),
        ([np.zeros((1, 21, 64, 64), np.float32)], "segmentation"),
        ([positive(1, 39, CELLS), np.zeros((1, 32, 16, 16), np.float32)], "segmentation"),
        ([np.zeros((1, 16, 512), np.float32)], "all of its boxes are empty"),
        ([np.zeros((1, 4, 4), np.float32)], "belong to no head"),
        ([np.zeros((3, CELLS, 85), np.float32)], "belong to no head"),
    ],
)
def test_what_is_not_a_detector_is_refused(outputs: list[np.ndarray], says: str, tmp_path: Path) -> None:
    path = onnx_graphs.constant(tmp_path / "other.onnx", *outputs)
    with pytest.raises(ModelError, match=says) as raised:
        load(path)
    assert "\n" not in str(raised.value)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("segment", "a segmentation model"),
        ("pose", "a pose model"),
        ("obb", "an oriented-box"),
        ("classify", "a classification model"),
        ("depth", "'depth'"),
    ],
)
def test_ultralytics_models_for_other_tasks_are_refused_by_name(task: str, words: str, tmp_path: Path) -> None:
    path = onnx_graphs.yolov8(tmp_path / "m.onnx", metadata={"task": task})
    with pytest.raises(ModelError, match=words):
        load(path)


def test_a_head_that_cannot_read_the_outputs_is_refused(tmp_path: Path) -> None:
    path = onnx_graphs.yolov8(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="cannot read outputs of 1x7x84; try --head yolov8"):
        load(path, "nanodet")


def test_an_unknown_head_lists_the_heads(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"unknown head 'ssd'; --head takes yolox, .*nanodet"):
        load(onnx_graphs.yolov8(tmp_path / "m.onnx"), "ssd")
