"""Pixels in, five fixed boxes out: a detector that does nothing, so that all else can be measured."""

from __future__ import annotations

import hashlib

import numpy as np

from common.images.image import Image
from common.protocol.detector_info import DetectorInfo
from jobs.detect.detectors.base import Detections, DetectOptions, ModelSource

NAME = "nothing"
LABELS = ("even", "odd")
_BOXES = np.array([[n * 1.5, n * 2.25, n * 1.5 + 7.125, n * 2.25 + 9.5] for n in range(5)], np.float32)
_SCORES = np.array([0.9375, 0.8125, 0.734, 0.61, 0.5], np.float32)
_CLASSES = np.arange(5, dtype=np.int32) % 2
FOUND = Detections(_BOXES, _SCORES, _CLASSES)


def info(name: str = NAME, ms_per_image: float = 0.0) -> DetectorInfo:
    return DetectorInfo(
        name=name,
        family=NAME,
        head=NAME,
        weights_sha256=hashlib.sha256(NAME.encode()).hexdigest(),
        labels=LABELS,
        input_size=None,
        flexible_input=False,
        iou_adjustable=True,
        refilterable=True,
        default_conf=0.5,
        default_iou=0.5,
        preprocessing="none",
        ms_per_image=ms_per_image,
    )


class NothingDetector:
    def __init__(self, info: DetectorInfo) -> None:
        self.info = info

    def preprocess(self, image: Image, options: DetectOptions) -> None:
        return None

    def infer(self, prepared: None) -> None:
        return None

    def postprocess(self, raw: None, image: Image, options: DetectOptions) -> Detections:
        return FOUND


class NothingFamily:
    suffixes: tuple[str, ...] = ()

    def load(self, source: ModelSource) -> NothingDetector:
        return NothingDetector(info(source.name))


family = NothingFamily()
