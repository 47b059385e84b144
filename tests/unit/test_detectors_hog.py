"""The pyramid of `hog` against OpenCV's own, which is right in one thread and not in several."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from common.images.image import Image
from jobs.detect.detectors import hog
from jobs.detect.detectors.base import DetectOptions, ModelSource
from tests.unit.test_detectors_conformance import street

OPTIONS = DetectOptions(0.3, 0.01)


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = cv2.getNumThreads()
    yield
    cv2.setNumThreads(before)


def windows(image: Image) -> list[tuple[list[float], float]]:
    detector = hog.family.load(ModelSource("hog"))
    raw = detector.infer(detector.preprocess(image, OPTIONS))
    return list(zip(raw.rectangles.tolist(), raw.margins.tolist(), strict=True))


def opencv(image: Image) -> list[tuple[list[float], float]]:
    descriptor = cv2.HOGDescriptor()
    descriptor.setSVMDetector(np.asarray(cv2.HOGDescriptor.getDefaultPeopleDetector(), np.float32))
    found, margins = descriptor.detectMultiScale(
        image, hitThreshold=hog.LEAST_MARGIN, winStride=(8, 8), padding=(16, 16), scale=1.05, groupThreshold=0
    )
    rectangles = np.asarray(found, np.float32).reshape(-1, 4).tolist()
    return list(zip(rectangles, np.ravel(np.asarray(margins, np.float32)).tolist(), strict=True))


@pytest.mark.parametrize("size", [(256, 256), (640, 480), (128, 64), (129, 640), (333, 517)])
def test_sees_what_opencv_sees_in_one_thread(size: tuple[int, int]) -> None:
    cv2.setNumThreads(1)
    image = np.asarray(cv2.resize(street(), size[::-1]), np.uint8)
    assert windows(image) == opencv(image)
    assert windows(image) or min(size) < 200


def test_no_number_of_threads_gives_a_box_the_score_of_another() -> None:
    cv2.setNumThreads(1)
    once = windows(street())
    cv2.setNumThreads(8)
    assert all(windows(street()) == once for _ in range(100))
