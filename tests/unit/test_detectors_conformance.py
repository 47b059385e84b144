"""What every detector owes its callers, asked of all of them: the built-in ones, each head, and the real models."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from common.images.image import Image
from jobs.detect.detectors import load
from jobs.detect.detectors.base import Detections, DetectOptions, Detector
from tests.unit import darknet_files, onnx_graphs

SHARED = Path(os.environ.get("MANYEYES_SHARED", Path(__file__).resolve().parents[2] / ".." / "shared")).resolve()
NAMES = {"names": "{0: 'blue', 1: 'green', 2: 'red'}"}


def _real(file: str) -> Callable[[Path], str]:
    return lambda _: str(SHARED / "models" / file)


def _made(make: Callable[..., Path], **options: object) -> Callable[[Path], str]:
    return lambda folder: str(make(folder / "made.onnx", **options))


#: What is typed after --detector, by the name of the case.
TYPED: dict[str, Callable[[Path], str]] = {
    "hog": lambda _: "hog",
    "cascade": lambda _: "cascade",
    "yolox": _made(onnx_graphs.yolox),
    "yolox-decoded": _made(onnx_graphs.yolox, decoded=True),
    "yolox-any-size": _made(onnx_graphs.yolox, size=None),
    "yolov5": _made(onnx_graphs.yolov5),
    "yolov8": _made(onnx_graphs.yolov8),
    "yolov8-coco": _made(onnx_graphs.yolov8, classes=80),
    "end2end": _made(onnx_graphs.end2end, metadata=NAMES),
    "end2end-nms": _made(onnx_graphs.end2end, nms=True, metadata=NAMES),
    "nanodet": _made(onnx_graphs.nanodet),
    "nanodet-plus": _made(onnx_graphs.nanodet_plus),
    "yolonas": _made(onnx_graphs.yolonas),
    "rtdetr": _made(onnx_graphs.rtdetr),
    "rtdetr-sized": _made(onnx_graphs.rtdetr_sized),
    "rfdetr": _made(onnx_graphs.rtdetr, logits=True),
    "darknet-yolo": lambda folder: str(darknet_files.save(folder)),
    "darknet-region": lambda folder: str(darknet_files.save(folder, section="region")),
}
REAL = {
    "real-yolox": _real("yolox_nano.onnx"),
    "real-nanodet": _real("nanodet_m_320.onnx"),
    "real-darknet": _real("yolo-fastest-1.1.cfg"),
}
_without = pytest.mark.skipif(not SHARED.is_dir(), reason="no shared models beside the checkout")
CASES = [*TYPED, *(pytest.param(name, marks=[pytest.mark.real, _without]) for name in REAL)]


def _load(name: str, folder: Path) -> Detector:
    return load.load({**TYPED, **REAL}[name](folder), cache_dir=folder)


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def detector(case: str, tmp_path_factory: pytest.TempPathFactory) -> Detector:
    return _load(case, tmp_path_factory.mktemp(case))


def street() -> Image:
    """Noise with a white square and a red one on whole cells, a person's outline and a face."""
    image = np.random.default_rng(0).integers(60, 120, (256, 256, 3), np.uint8)
    image[128:256, :128] = 255
    image[:64, 192:256] = (0, 0, 255)
    cv2.ellipse(image, (120, 40), (10, 12), 0, 0, 360, (20, 20, 20), -1)
    cv2.rectangle(image, (105, 54), (135, 125), (20, 20, 20), -1)
    _draw_face(image, 195, 180, 90)
    return image


def _draw_face(image: Image, x: int, y: int, width: int) -> None:
    """Skin, cheekbones and nose light, eyes, brows and mouth dark: what Haar features ask for."""
    light = [(0, 0, 0.42, 0.55, 205), (0, 0.04, 0.05, 0.14, 230)]
    eyes = [(side * 0.19, -0.13, 0.13, 0.07, 110) for side in (-1, 1)]
    pupils = [(side * 0.19, -0.12, 0.08, 0.04, 40) for side in (-1, 1)]
    brows = [(side * 0.19, -0.24, 0.14, 0.025, 70) for side in (-1, 1)]
    for at_x, at_y, half_width, half_height, grey in [*light, *eyes, *pupils, *brows, (0, 0.33, 0.17, 0.045, 90)]:
        centre = (round(x + at_x * width), round(y + at_y * width))
        sides = (round(half_width * width), round(half_height * width))
        cv2.ellipse(image, centre, sides, 0, 0, 360, (grey,) * 3, -1)


def look(detector: Detector, image: Image, floor: float, iou: float | None = None) -> Detections:
    options = DetectOptions(iou or detector.info.default_iou, floor)
    return detector.postprocess(detector.infer(detector.preprocess(image, options)), image, options)


def same(left: Detections, right: Detections) -> bool:
    return all(
        getattr(left, name).tobytes() == getattr(right, name).tobytes() for name in ("boxes", "scores", "class_ids")
    )


def test_the_made_picture_has_something_to_find(detector: Detector) -> None:
    assert len(look(detector, street(), 0.01).scores) > 0


def test_shapes_types_ranges_and_order(detector: Detector) -> None:
    found = look(detector, street(), 0.01)
    count = len(found.scores)
    assert (found.boxes.shape, found.scores.shape, found.class_ids.shape) == ((count, 4), (count,), (count,))
    assert (found.boxes.dtype, found.scores.dtype, found.class_ids.dtype) == (np.float32, np.float32, np.int32)
    assert (found.scores >= np.float32(0.01)).all()
    assert (found.scores <= 1).all()
    assert found.class_ids.min() >= 0
    assert found.class_ids.max() < len(detector.info.labels)
    rows = list(zip((-found.scores).tolist(), found.class_ids.tolist(), *found.boxes.T.tolist(), strict=True))
    assert rows == sorted(rows)


@pytest.mark.parametrize("shape", [(1, 1), (1, 2000), (2000, 1), (3, 5), (33, 700), (127, 300), (300, 63)])
def test_any_shape_of_image_gives_clipped_boxes(detector: Detector, shape: tuple[int, int]) -> None:
    found = look(detector, np.full((*shape, 3), 255, np.uint8), 0.01)
    x1, y1, x2, y2 = found.boxes.T
    assert ((x1 >= 0) & (x1 < x2) & (x2 <= shape[1])).all()
    assert ((y1 >= 0) & (y1 < y2) & (y2 <= shape[0])).all()


def test_is_deterministic_and_keeps_nothing_from_image_to_image(detector: Detector) -> None:
    first = look(detector, street(), 0.01)
    look(detector, np.ascontiguousarray(street()[::-1, :100]), 0.01)
    assert same(first, look(detector, street(), 0.01))


def test_two_images_may_be_prepared_before_either_is_looked_at(detector: Detector) -> None:
    options = DetectOptions(detector.info.default_iou, 0.01)
    other = np.ascontiguousarray(street()[::-1])
    prepared = detector.preprocess(street(), options)
    detector.preprocess(other, options)
    raw = detector.infer(prepared)
    detector.infer(detector.preprocess(other, options))
    assert same(detector.postprocess(raw, street(), options), look(detector, street(), 0.01))


def test_does_not_change_the_image(detector: Detector) -> None:
    image = street()
    image.setflags(write=False)
    look(detector, image, 0.01)
    assert (image == street()).all()


def test_a_view_of_an_array_is_an_image_too(detector: Detector) -> None:
    mirrored = street()[:, ::-1]
    assert same(look(detector, mirrored, 0.01), look(detector, np.ascontiguousarray(mirrored), 0.01))


@pytest.mark.parametrize("conf", [0.05, 0.3, 0.6])
def test_refilterable_means_that_filtering_equals_looking_again(detector: Detector, conf: float) -> None:
    if not detector.info.refilterable:
        pytest.skip("this detector does not claim it")
    low = look(detector, street(), 0.01)
    keep = low.scores >= np.float32(conf)
    filtered = Detections(low.boxes[keep], low.scores[keep], low.class_ids[keep])
    assert same(filtered, look(detector, street(), conf))


def test_iou_adjustable_means_that_iou_decides(detector: Detector) -> None:
    strict, loose = look(detector, street(), 0.01, iou=0.01), look(detector, street(), 0.01, iou=0.99)
    if detector.info.iou_adjustable:
        assert len(strict.scores) <= len(loose.scores)
    else:
        assert same(strict, loose)


def test_describes_itself(detector: Detector, case: str) -> None:
    info = detector.info
    assert type(info).from_json(info.to_json()) == info
    assert info.engine
    assert info.engine_version
    assert info.instruction_set
    assert info.preprocessing
    assert "\n" not in info.caution
    assert bool(info.caution) or case not in ("hog", "cascade")
    assert info.ms_per_image == 0


def test_the_digest_is_the_same_at_every_load_and_another_with_other_labels(
    detector: Detector, case: str, tmp_path: Path
) -> None:
    info = detector.info
    assert _load(case, tmp_path).info.digest == info.digest
    assert replace(info, labels=(*info.labels[:-1], "something else")).digest != info.digest
    assert replace(info, head="another").digest != info.digest
    assert replace(info, weights_sha256="0" * 64).digest != info.digest
    assert replace(info, preprocessing="another").digest != info.digest
