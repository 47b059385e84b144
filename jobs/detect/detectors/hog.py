"""`hog`: OpenCV's pedestrian detector, with nothing to download. Standing people of 96 pixels and more."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from common.errors import UsageError
from common.images.image import Image
from common.protocol.detector_info import DetectorInfo
from jobs.detect.detectors import boxes, unused_options
from jobs.detect.detectors.base import Detections, DetectOptions, ModelSource
from jobs.detect.detectors.cpu import instruction_set

#: Pixels. Larger images are scaled down to this longer side first: time grows with the area.
MAX_SIDE = 640
#: (height, width) of the window that the support vector machine was trained on. OpenCV corrupts memory on some
#: images that are smaller, so those have no detections.
WINDOW = (128, 64)
_STRIDE = (8, 8)
_PADDING = (16, 16)
_SCALE_STEP = 1.05
#: The most that OpenCV's own pyramid has.
_LEVELS = 64
#: Margins m become scores 1 / (1 + exp(-SLOPE (m - MIDDLE))), Platt's form (1999), set from the share of true
#: boxes by margin on every 20th frame of OpenCV's vtest.avi: a third at 0.25, three quarters at 0.6, all at 1.5.
SLOPE = 3.0
MIDDLE = 0.6
#: The margin whose score is 0.01: windows under it are not even reported.
LEAST_MARGIN = -0.93
#: The person in a window, as fractions of its width and height: the training windows have a margin all round.
_PERSON = (0.18, 0.10, 0.82, 0.90)


@dataclass(frozen=True, slots=True, eq=False)
class _Scaled:
    """`pixels` is the image with its longer side at most MAX_SIDE, `scale` its pixels per image pixel."""

    pixels: Image
    scale: float


@dataclass(frozen=True, slots=True, eq=False)
class _Windows:
    """(n, 4) x y width height in pixels of the scaled image, and (n,) margins."""

    rectangles: npt.NDArray[np.float32]
    margins: npt.NDArray[np.float32]
    scale: float


class HogDetector:
    """Histograms of oriented gradients (Dalal and Triggs, CVPR 2005), every window on its own, our suppression.

    The pyramid is climbed here, level by level, and gives what `HOGDescriptor.detectMultiScale` gives in one
    thread. In several, OpenCV's (4.14) takes a lock for a level's rectangles and once more for its margins: now and
    then two levels' come in different orders, and a box gets another's score.
    """

    def __init__(self, info: DetectorInfo, machine: npt.NDArray[np.float32]) -> None:
        self.info = info
        self._hog = cv2.HOGDescriptor()
        self._hog.setSVMDetector(machine)

    def preprocess(self, image: Image, options: DetectOptions) -> _Scaled:
        if options.imgsz is not None:
            raise UsageError("hog takes images as they are; leave out --imgsz")
        longer = max(image.shape[:2])
        if longer <= MAX_SIDE:
            return _Scaled(image, 1.0)
        scale = MAX_SIDE / longer
        size = (max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1))
        return _Scaled(np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8), scale)

    def infer(self, prepared: _Scaled) -> _Windows:
        height, width = prepared.pixels.shape[:2]
        found: list[tuple[int, int, int, int]] = []
        margins: list[float] = []
        scale = 1.0
        for level in range(_LEVELS):
            size = (round(width / scale), round(height / scale))
            if size[0] < WINDOW[1] or size[1] < WINDOW[0]:
                break
            smaller = prepared.pixels
            if level:
                smaller = np.asarray(cv2.resize(smaller, size, interpolation=cv2.INTER_LINEAR_EXACT), np.uint8)
            corners, at = self._hog.detect(smaller, hitThreshold=LEAST_MARGIN, winStride=_STRIDE, padding=_PADDING)
            for x, y in corners:
                left, top = round(x * scale), round(y * scale)
                right, bottom = left + round(WINDOW[1] * scale), top + round(WINDOW[0] * scale)
                left, top, right, bottom = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
                found.append((left, top, right - left, bottom - top))
            margins.extend(np.ravel(at).tolist())
            scale *= _SCALE_STEP
        return _Windows(
            np.asarray(found, np.float32).reshape(-1, 4),
            np.asarray(margins, np.float32),
            prepared.scale,
        )

    def postprocess(self, raw: _Windows, image: Image, options: DetectOptions) -> Detections:
        origin, size = raw.rectangles[:, :2], raw.rectangles[:, 2:]
        left_top, right_bottom = np.array(_PERSON, np.float32).reshape(2, 2)
        corners = np.concatenate((origin + left_top * size, origin + right_bottom * size), axis=1)
        scores = 1 / (1 + np.exp(-SLOPE * (raw.margins - MIDDLE)))
        ids = np.zeros(len(scores), np.intp)
        found = boxes.suppress(boxes.candidates(corners / raw.scale, scores, ids), options.iou, options.floor)
        return boxes.finish(found, image.shape[0], image.shape[1])


class HogFamily:
    suffixes: tuple[str, ...] = ()

    def load(self, source: ModelSource) -> HogDetector:
        unused_options.refuse(source, head=True, labels=True, weights=True)
        machine = np.asarray(cv2.HOGDescriptor.getDefaultPeopleDetector(), np.float32)
        info = DetectorInfo(
            name=source.name,
            family="hog",
            head="hog",
            weights_sha256=hashlib.sha256(machine.tobytes()).hexdigest(),
            labels=("person",),
            input_size=None,
            flexible_input=False,
            iou_adjustable=True,
            refilterable=True,
            default_conf=0.4,
            default_iou=0.3,
            preprocessing=(
                f"BGR, longer side at most {MAX_SIDE}, stride {_STRIDE}, padding {_PADDING}, step {_SCALE_STEP}, "
                f"margins from {LEAST_MARGIN}, score slope {SLOPE} middle {MIDDLE}, person {_PERSON}"
            ),
            caution=(
                "hog sees only whole, upright people of about a sixth of the picture's longer side and more, and "
                "takes many things for people; for real photographs use --detector yolox-s"
            ),
            engine="opencv",
            engine_version=cv2.__version__,
            instruction_set=instruction_set(),
        )
        return HogDetector(info, machine)


family = HogFamily()
