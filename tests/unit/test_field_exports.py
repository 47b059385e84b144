"""Every graph of the field cases' generator comes out as their table says: found, or refused with a true sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from common.errors import ModelError
from jobs.detect.detectors.base import Detections, DetectOptions, ModelSource
from jobs.detect.detectors.labels import COCO
from jobs.detect.detectors.onnx import OnnxDetector, family

SHARED = Path(os.environ.get("MANYEYES_SHARED", Path(__file__).resolve().parents[2] / ".." / "shared")).resolve()
MAKER = SHARED / "field-cases" / "make_exports.py"
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not MAKER.is_file(), reason="no shared field cases beside the checkout"),
]

#: (height, width) of the picture; a network of 640 x 640 sees it at 0.8, with 80 pixels above and below.
IMAGE = (600, 800)
#: The object of the YOLOs, in the middle: 256 x 384 network pixels around (320, 320).
CENTRED = (240, 60, 560, 540)
#: That of RT-DETR: 0.4 x 0.6 of the picture around its middle.
STRETCHED = (240, 120, 560, 480)
#: By file: the head, and each object's box, score and label at a floor of 0.3.
Found = tuple[str, list[tuple[tuple[float, ...], float, str]]]
FOUND: dict[str, Found] = {
    **{
        name: ("yolov8", [(CENTRED, 0.9, "person")])
        for name in (
            "yolov8_ok",
            "yolov8_nometa",
            "yolov8_fp16",
            "yolov8_p2",
            "yolov8_p2_nometa",
            "yolov8_batch8",
            "yolov8_batch_free_out8",
            "yolov8_nhwc",
            "yolov8_nhwc_dyn",
            "yolov8_uint8",
            "yolov8_gray",
            "yolov8_imgsz_int",
        )
    },
    "rtdetr_ul_80": ("rtdetr", [(STRETCHED, 0.93, "person")]),
    "rtdetr_ul_80_nometa": ("rtdetr", [(STRETCHED, 0.93, "person")]),
    "rtdetr_ul_79": ("rtdetr", [(STRETCHED, 0.93, "k0")]),
    "rtdetr_ul_2": ("rtdetr", [(STRETCHED, 0.93, "cat")]),
    "rtdetr_ul_1": ("rtdetr", [(STRETCHED, 0.93, "cow")]),
    "rtdetr_ul_2026": ("rtdetr-rows", [(STRETCHED, 0.93, "person"), ((120, 420, 200, 540), 0.7, "dog")]),
    "yolov5_ok": ("yolov5", [((275, 112.5, 525, 487.5), 0.9025, "person")]),
    "yolov5_old4": ("yolov5", [((275, 112.5, 525, 487.5), 0.9025, "person")]),
    "ul_nms_true": ("end2end", [((125, 25, 375, 400), 0.9, "person"), ((62.5, 0, 112.5, 100), 0.4, "dog")]),
    "ul_nms_true_none": ("end2end", []),
}
#: Those whose outputs do not say how many classes there are: without labels their classes have numbers for names.
LABELS_GIVEN: dict[str, Found] = {
    "ul_nms_true_nometa": FOUND["ul_nms_true"],
    "yolov7_end2end": ("yolov7-end2end", [((125, 25, 375, 400), 0.91, "person"), ((12.5, 0, 75, 12.5), 0.55, "car")]),
    "yolov7_end2end_none": ("yolov7-end2end", []),
}
REFUSED = {
    "efficientnms_trt": "EfficientNMS_TRT of the domain TRT, which is TensorRT's: .*export it without the suppression",
    "ppyoloe": r"choose with --head: ppyoloe-plus, ppyoloe$",
    "yolov8_pose_nometa": "51 of the 52 columns of scores leave 0..1, as keypoints",
    "yolov8_obb_nometa": r"its last column of scores is high nearly everywhere: an angle \(OBB\)",
    "yolov8_seg_nometa": "look like a segmentation model",
    "yolov8_names_wrong": "has 3 classes, but its metadata has 80 labels",
    "yolov8_opset_future": r"IR version 99, and ONNX Runtime \S+ reads up to \d+; upgrade onnxruntime",
}
#: Those that give nothing but NaN: shapes tell the head, and each image fails.
NAN = ("yolov8_fp16_nan", "yolov8_nan_nometa")
#: These have tests of their own, since their arrays are random.
RANDOM = {"rtdetr_orig", "nanodet_plus_416", "nanodet_plus_416_1cls_3strides"}


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exports")
    subprocess.run([sys.executable, str(MAKER), str(folder)], check=True, stdout=subprocess.DEVNULL)
    return folder


def load(path: Path, head: str | None = None, labels: str | None = None) -> OnnxDetector:
    return family.load(ModelSource(path.stem, path, head, Path(labels) if labels else None))


def look(detector: OnnxDetector, floor: float = 0.3) -> Detections:
    image = np.random.default_rng(0).integers(0, 256, (*IMAGE, 3), np.uint8)
    options = DetectOptions(detector.info.default_iou, floor)
    return detector.postprocess(detector.infer(detector.preprocess(image, options)), image, options)


def is_as_told(detector: OnnxDetector, told: Found) -> None:
    head, objects = told
    assert detector.info.head == head
    found = look(detector)
    assert len(found.scores) == len(objects)
    for box, score, label, (true_box, true_score, true_label) in zip(
        found.boxes, found.scores, found.class_ids, objects, strict=True
    ):
        assert box.tolist() == pytest.approx(true_box, abs=0.6)
        assert float(score) == pytest.approx(true_score, abs=1e-3)
        assert detector.info.labels[label] == true_label


def test_every_graph_has_an_outcome_here(exports: Path) -> None:
    assert {path.stem for path in exports.iterdir()} == {*FOUND, *LABELS_GIVEN, *REFUSED, *NAN, *RANDOM}


@pytest.mark.parametrize("name", FOUND)
def test_an_export_is_found_where_its_arrays_put_it(name: str, exports: Path) -> None:
    is_as_told(load(exports / f"{name}.onnx"), FOUND[name])


@pytest.mark.parametrize("name", LABELS_GIVEN)
def test_an_export_without_a_number_of_classes_has_numbers_for_names(name: str, exports: Path) -> None:
    head, objects = LABELS_GIVEN[name]
    nameless = load(exports / f"{name}.onnx")
    is_as_told(nameless, (head, [(box, score, f"class_{COCO.index(label)}") for box, score, label in objects]))
    assert "--labels coco" in nameless.info.caution
    is_as_told(load(exports / f"{name}.onnx", labels="coco"), LABELS_GIVEN[name])


@pytest.mark.parametrize("name", REFUSED)
def test_an_export_is_refused_with_a_true_sentence(name: str, exports: Path) -> None:
    with pytest.raises(ModelError, match=REFUSED[name]) as raised:
        load(exports / f"{name}.onnx")
    assert "\n" not in str(raised.value)
    assert "whole ONNX model" not in str(raised.value)


@pytest.mark.parametrize("name", NAN)
def test_values_that_are_no_numbers_do_not_decide(name: str, exports: Path) -> None:
    detector = load(exports / f"{name}.onnx")
    assert detector.info.head == "yolov8"
    blank = detector.preprocess(np.zeros((*IMAGE, 3), np.uint8), DetectOptions(0.5, 0.5))
    assert np.isnan(detector.infer(blank)).all()


@pytest.mark.parametrize("head", ["ppyoloe", "ppyoloe-plus"])
def test_paddles_rows_are_in_pixels_of_the_image(head: str, exports: Path) -> None:
    detector = load(exports / "ppyoloe.onnx", head, "coco")
    assert look(detector).boxes.tolist() == [[10, 10, 100, 100]] * 5


def test_rtdetrs_authors_boxes_are_in_pixels_of_the_image(exports: Path) -> None:
    path = exports / "rtdetr_orig.onnx"
    detector = load(path)
    assert detector.info.head == "rtdetr-sized" and "--labels coco" in detector.info.caution
    session = onnxruntime.InferenceSession(path)
    image = {"images": np.zeros((1, 3, 640, 640), np.float32), "orig_target_sizes": np.array([[800, 600]])}
    _, boxes, scores = (out[0] for out in session.run(["labels", "boxes", "scores"], image))
    boxes = np.clip(boxes, 0, (800, 600, 800, 600))
    # Its boxes are random: half of them end before they begin.
    true = sorted(
        (-float(score), *map(float, box))
        for box, score in zip(boxes, scores, strict=True)
        if score >= 0.3 and box[0] < box[2] and box[1] < box[3]
    )
    found = look(detector)
    assert len(true) > 20
    assert [(-float(score), *map(float, box)) for box, score in zip(found.boxes, found.scores, strict=True)] == [
        pytest.approx(row, abs=1e-3) for row in true
    ]


@pytest.mark.parametrize(
    ("name", "strides", "classes"),
    [("nanodet_plus_416", (8, 16, 32, 64), 80), ("nanodet_plus_416_1cls_3strides", (8, 16, 32), 1)],
)
def test_nanodet_plus_reads_scores_and_bins(name: str, strides: tuple[int, ...], classes: int, exports: Path) -> None:
    detector = load(exports / f"{name}.onnx")
    assert detector.info.head == "nanodet-plus"
    assert detector.info.labels == (COCO if classes == 80 else ("class_0",))
    options = DetectOptions(1, 0.01999)
    blank = np.zeros((*IMAGE, 3), np.uint8)
    raw = detector.infer(detector.preprocess(blank, options))
    true, row = [], 0
    for stride in strides:
        side = -(-416 // stride)
        for y in range(side):
            for x in range(side):
                values = raw[0][0][row].astype(float)
                row += 1
                if values[:classes].max() < 0.01999:
                    continue
                sides = np.exp(values[classes:].reshape(4, 8))
                left, top, right, bottom = (sides / sides.sum(axis=1, keepdims=True)) @ np.arange(8) * stride
                box = (x * stride - left, y * stride - top, x * stride + right, y * stride + bottom)
                box = np.clip(np.array(box) * np.array((800, 600, 800, 600)) / 416, 0, (800, 600, 800, 600))
                if box[0] < box[2] and box[1] < box[3]:
                    true.append((float(values[:classes].max()), int(values[:classes].argmax()), *box))
    found = detector.postprocess(raw, blank, options)
    assert len(found.scores) == len(true) > 0
    for score, label, *box in true:
        near = np.abs(found.boxes - np.array(box)).max(axis=1) < 0.05
        assert (near & (found.class_ids == label) & (np.abs(found.scores - score) < 1e-5)).any()
