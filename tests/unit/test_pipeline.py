"""What becomes of an image whose detector gives what no table can hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.errors import ItemCode
from jobs.detect.detectors.base import Detections, DetectOptions, ModelSource
from jobs.detect.detectors.hog import family as hog
from jobs.detect.detectors.onnx import family as onnx_family
from tests.unit import onnx_graphs, pictures
from worker import preflight
from worker.pool import pipeline

PNG = pictures.encoded("PNG")


def found(box: tuple[float, ...] = (1, 1, 5, 5), score: float = 0.5, class_id: int = 0) -> Detections:
    return Detections(np.array([box], np.float32), np.array([score], np.float32), np.array([class_id], np.int32))


class Plugin:
    """Another package's detector, which says what it is told to."""

    def __init__(self, says: Callable[[], Any]) -> None:
        self.info = hog.load(ModelSource("hog")).info
        self._says = says

    def preprocess(self, image: Any, options: DetectOptions) -> Any:
        return image

    def infer(self, prepared: Any) -> Any:
        return prepared

    def postprocess(self, raw: Any, image: Any, options: DetectOptions) -> Any:
        return self._says()


def look(detector: Any, floor: float = 0.01) -> pipeline.ItemRecord:
    job = pipeline.Job(detector, DetectOptions(0.5, floor), 10**6, lambda path: PNG)
    return pipeline.look_at([b"a.png"], job, lambda looked: True).records[0]


def test_what_a_table_can_hold_is_ok() -> None:
    assert look(Plugin(found)).ok


@pytest.mark.parametrize(
    "says",
    [
        lambda: found(score=np.nan),
        lambda: found(score=np.inf),
        lambda: found(score=1.01),
        lambda: found(score=-0.01),
        lambda: found((1, np.nan, 5, 5)),
        lambda: found((1, 1, np.inf, 5)),
        lambda: found(class_id=1),
        lambda: found(class_id=-1),
        lambda: found((1, 1, 5, 5, 9)),
        lambda: Detections(found().boxes, np.array([0.5, 0.4], np.float32), found().class_ids),
        lambda: None,
    ],
)
def test_anything_else_fails_the_image_and_nothing_more(says: Callable[[], Any]) -> None:
    record = look(Plugin(says))
    assert record.error_code is ItemCode.DETECTOR_ERROR and record.error


def test_a_score_of_1_may_be_rounded() -> None:
    assert look(Plugin(lambda: found(score=1.0005))).ok


def test_rows_that_noise_did_not_show_and_that_are_not_the_heads_fail_the_image(tmp_path: Path) -> None:
    """Class before score, in a graph that has no rows for noise."""
    nothing = onnx_graphs.constant(tmp_path / "m.onnx", np.zeros((1, 100, 6), np.float32))
    detector = onnx_family.load(ModelSource("made", nothing))
    raw = detector.infer(np.zeros((1, 3, 64, 64), np.float32))
    raw[0][0, 0] = (10, 10, 30, 40, 3, 0.9)
    plugin = Plugin(lambda: detector.postprocess(raw, np.zeros((64, 64, 3), np.uint8), DetectOptions(0.5, 0.25)))
    plugin.info = detector.info
    record = look(plugin)
    assert record.error_code is ItemCode.DETECTOR_ERROR
    assert str(record.error).startswith("head end2end would read this image's boxes wrongly: one of its scores is 3")


def rows() -> np.ndarray:
    """Outputs of a YOLOv8 with three classes: one box, and 83 of no score."""
    out = np.full((1, 7, 84), 8, np.float32)
    out[0, 4:] = 0.001
    out[0, 4, 3] = 0.9
    return out


@pytest.mark.parametrize(
    ("row", "column", "value", "ok"),
    [
        (0, 3, np.nan, False),
        (4, 3, np.nan, False),
        (6, 3, np.nan, False),
        (0, 9, np.nan, False),
        (4, 9, np.nan, False),
        (0, 3, np.inf, False),
        (2, 3, np.inf, False),
        (4, 3, np.inf, False),
        (0, 9, np.inf, True),
        (2, 9, -np.inf, True),
        (5, 9, -np.inf, True),
    ],
)
def test_a_network_whose_numbers_are_none_where_they_matter_fails_the_image(
    row: int, column: int, value: float, ok: bool, tmp_path: Path
) -> None:
    """Column 3 has the box; column 9 is below the floor, where infinity is nothing, and NaN still an overflow."""
    out = rows()
    detector = onnx_family.load(
        ModelSource("made", onnx_graphs.constant(tmp_path / "m.onnx", out, metadata={"task": "detect"}))
    )
    raw = detector.infer(np.zeros((1, 3, 64, 64), np.float32))
    raw[0][0, row, column] = value
    image = np.zeros((64, 64, 3), np.uint8)
    plugin = Plugin(lambda: detector.postprocess(raw, image, DetectOptions(0.5, 0.01)))
    plugin.info = detector.info
    record = look(plugin)
    assert record.ok == ok
    assert ok or (record.error_code is ItemCode.DETECTOR_ERROR and "instead of numbers" in str(record.error))


def test_a_network_that_gives_no_numbers_is_served_with_a_caution(tmp_path: Path) -> None:
    path = onnx_graphs.constant(
        tmp_path / "m.onnx", np.full((1, 7, 84), np.nan, np.float32), metadata={"task": "detect"}
    )
    detector = onnx_family.load(ModelSource("made", path))
    digest = detector.info.digest
    preflight._warm(detector)
    assert detector.info.caution.startswith("With a made picture, the network gave NaN instead of numbers")
    assert detector.info.digest == digest and detector.info.ms_per_image > 0
