"""Accuracy on real photographs with known boxes, and YOLOX's own post-processing beside ours."""

from __future__ import annotations

import contextlib
import io
import os
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from jobs.detect.detectors import load
from jobs.detect.detectors.base import DetectOptions, Detector

SHARED = Path(os.environ.get("MANYEYES_SHARED", Path(__file__).resolve().parents[2] / ".." / "shared")).resolve()
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not SHARED.is_dir(), reason="no shared models and images beside the checkout"),
]


@cache
def detector(file: str) -> Detector:
    return load.load(str(SHARED / "models" / file), cache_dir=SHARED)


def precision(file: str, dataset: str) -> float:
    """COCO's AP in points, at floor 0.001, IoU 0.65 and 100 boxes an image."""
    found, options = detector(file), DetectOptions(iou=0.65, floor=0.001)
    folder = SHARED / "data" / dataset
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(folder / "instances.json"))
        ids = {category["name"]: category["id"] for category in truth.dataset["categories"]}
        results = []
        for entry in truth.dataset["images"]:
            image = cv2.imread(str(folder / "images" / entry["file_name"]), cv2.IMREAD_COLOR)
            seen = found.postprocess(found.infer(found.preprocess(image, options)), image, options)
            for box, score, label in zip(seen.boxes[:100], seen.scores, seen.class_ids, strict=False):
                x1, y1, x2, y2 = map(float, box)
                results.append(
                    {
                        "image_id": entry["id"],
                        "category_id": ids[found.info.labels[label]],
                        "bbox": [x1, y1, x2 - x1, y2 - y1],
                        "score": float(score),
                    }
                )
        evaluation = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0]) * 100


@pytest.mark.parametrize(
    ("file", "dataset", "points", "within"),
    [
        # Stated beside the data as 36.6 and 33.8; measured here 36.53 and 33.67. Resizing in float32 instead of
        # uint8 gives 36.7 and 33.9: what YOLOX itself does (uint8) is a tenth of a point below the statement.
        ("yolox_nano.onnx", "coco-val100", 36.6, 0.1),
        ("yolox_nano.onnx", "coco-train128", 33.8, 0.15),
        # Measured with this code, so that a change is seen.
        ("nanodet_m_320.onnx", "coco-val100", 29.1, 0.3),
        ("yolo-fastest-1.1.cfg", "coco-val100", 17.6, 0.3),
    ],
)
def test_average_precision(file: str, dataset: str, points: float, within: float) -> None:
    assert precision(file, dataset) == pytest.approx(points, abs=within)


Rows = npt.NDArray[np.float64]


def reference(raw: Rows, ratio: float, conf: float, iou: float) -> Rows:
    """YOLOX's `demo_postprocess` and `postprocess`, transcribed: (n, 6) x1 y1 x2 y2 score class."""
    grids, strides = [], []
    for stride in (8, 16, 32):
        x, y = np.meshgrid(np.arange(416 // stride), np.arange(416 // stride))
        grids.append(np.stack((x, y), 2).reshape(-1, 2))
        strides.append(np.full((x.size, 1), stride))
    grid, step = np.concatenate(grids), np.concatenate(strides)
    centre, side = (raw[:, :2] + grid) * step, np.exp(raw[:, 2:4]) * step
    corners = np.concatenate((centre - side / 2, centre + side / 2), axis=1) / ratio
    label = raw[:, 5:].argmax(axis=1)
    score = raw[:, 4] * raw[:, 5:].max(axis=1)
    rows = np.column_stack((corners, score, label))[score >= conf]
    return np.array([row for cls in np.unique(rows[:, 5]) for row in suppress(rows[rows[:, 5] == cls], iou)])


def suppress(rows: Rows, iou: float) -> list[Rows]:
    kept: list[Rows] = []
    for row in rows[np.argsort(-rows[:, 4], kind="stable")]:
        if all(overlap(row, better) <= iou for better in kept):
            kept.append(row)
    return kept


def overlap(a: Rows, b: Rows) -> float:
    shared = max(min(a[2], b[2]) - max(a[0], b[0]), 0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return float(shared / (areas - shared))


@pytest.mark.parametrize(("conf", "iou"), [(0.01, 0.65), (0.25, 0.45)])
def test_equals_yolox_own_post_processing(conf: float, iou: float) -> None:
    ours, options = detector("yolox_nano.onnx"), DetectOptions(iou, conf)
    compared = 0
    for path in sorted((SHARED / "data" / "coco-val100" / "images").glob("*.jpg"))[:25]:
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        height, width = image.shape[:2]
        ratio = min(416 / height, 416 / width)
        # The reference's own preprocessing, so that ours is tested with the rest.
        padded = np.full((416, 416, 3), 114, np.uint8)
        size = (int(width * ratio), int(height * ratio))
        padded[: size[1], : size[0]] = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
        raw = ours.infer(padded.transpose(2, 0, 1)[None].astype(np.float32))[0][0]
        theirs = reference(raw.astype(np.float64), ratio, conf, iou)
        theirs[:, :4] = np.clip(theirs[:, :4], 0, (width, height) * 2)
        found = ours.postprocess(ours.infer(ours.preprocess(image, options)), image, options)
        mine = np.column_stack((found.boxes, found.scores, found.class_ids))
        assert len(mine) == len(theirs)
        for row in theirs:
            near = (np.abs(mine[:, :4] - row[:4]).max(axis=1) < 1) & (np.abs(mine[:, 4] - row[4]) < 0.01)
            assert (near & (mine[:, 5] == row[5])).any()
        compared += len(theirs)
    assert compared > 100
