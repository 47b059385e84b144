"""`cascade`: OpenCV's frontal face cascade from its wheel, with nothing to download."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from common.errors import ModelError, UsageError
from common.images.image import Image
from common.limits import MAX_CANDIDATES
from common.protocol.detector_info import DetectorInfo
from jobs.detect.detectors import boxes, unused_options
from jobs.detect.detectors.base import Detections, DetectOptions, ModelSource
from jobs.detect.detectors.cpu import instruction_set
from jobs.detect.models import model_file

#: Of the three frontal cascades in the wheel the fastest, and the one with the fewest lone false hits.
FILE = "haarcascade_frontalface_alt2.xml"
#: Pixels. Larger images are scaled down to this longer side first: time grows with the area.
MAX_SIDE = 1280
#: Pixels. The smallest face that is looked for.
MIN_FACE = 24
_SCALE_STEP = 1.1
#: Overlap from which one hit of the cascade supports another.
_SUPPORT_IOU = 0.5
#: Support s becomes the score s / (s + HALF): a face has ten to thirty hits on it, and noise one to three. The
#: cascade's own level weights tell the two apart much worse.
HALF = 4.0


@dataclass(frozen=True, slots=True, eq=False)
class _Grey:
    """(height, width) uint8, the longer side at most MAX_SIDE; `scale` is its pixels per image pixel."""

    pixels: npt.NDArray[np.uint8]
    scale: float


@dataclass(frozen=True, slots=True, eq=False)
class _Hits:
    """(n, 4) x1 y1 x2 y2 in pixels of the grey image, before any grouping."""

    corners: npt.NDArray[np.float32]
    scale: float


class CascadeDetector:
    """Boosted Haar cascade (Viola and Jones, CVPR 2001), every hit on its own, our suppression."""

    def __init__(self, info: DetectorInfo, classifier: cv2.CascadeClassifier) -> None:
        self.info = info
        self._classifier = classifier

    def preprocess(self, image: Image, options: DetectOptions) -> _Grey:
        if options.imgsz is not None:
            raise UsageError("cascade takes images as they are; leave out --imgsz")
        grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
        longer = max(grey.shape)
        if longer <= MAX_SIDE:
            return _Grey(grey, 1.0)
        scale = MAX_SIDE / longer
        size = (max(round(grey.shape[1] * scale), 1), max(round(grey.shape[0] * scale), 1))
        return _Grey(np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8), scale)

    def infer(self, prepared: _Grey) -> _Hits:
        found = self._classifier.detectMultiScale(
            prepared.pixels, scaleFactor=_SCALE_STEP, minNeighbors=0, minSize=(MIN_FACE, MIN_FACE)
        )
        rectangles = np.asarray(found, np.float32).reshape(-1, 4)
        origin = rectangles[:, :2]
        return _Hits(np.concatenate((origin, origin + rectangles[:, 2:]), axis=1), prepared.scale)

    def postprocess(self, raw: _Hits, image: Image, options: DetectOptions) -> Detections:
        hits = _in_order(raw.corners)
        support = _support(hits)
        ids = np.zeros(len(hits), np.intp)
        found = boxes.candidates(hits / raw.scale, support / (support + HALF), ids)
        return boxes.finish(boxes.suppress(found, options.iou, options.floor), image.shape[0], image.shape[1])


class CascadeFamily:
    suffixes: tuple[str, ...] = ()

    def load(self, source: ModelSource) -> CascadeDetector:
        unused_options.refuse(source, head=True, labels=True, weights=True)
        path = Path(cv2.__file__).parent / "data" / FILE
        data = model_file.read(path)
        classifier = cv2.CascadeClassifier(str(path))
        if classifier.empty():
            raise ModelError(f"OpenCV cannot load its own {path}; install opencv-python-headless again")
        info = DetectorInfo(
            name=source.name,
            family="cascade",
            head="cascade",
            weights_sha256=hashlib.sha256(data).hexdigest(),
            labels=("face",),
            input_size=None,
            flexible_input=False,
            iou_adjustable=True,
            refilterable=True,
            default_conf=0.4,
            default_iou=0.3,
            preprocessing=(
                f"grey, longer side at most {MAX_SIDE}, step {_SCALE_STEP}, faces from {MIN_FACE}, "
                f"score by support at {_SUPPORT_IOU}, half {HALF}"
            ),
            caution=(
                "cascade sees only upright faces that look at the camera and takes some patterns for faces; "
                "for people in any pose use --detector yolox-s"
            ),
            engine="opencv",
            engine_version=cv2.__version__,
            instruction_set=instruction_set(),
        )
        return CascadeDetector(info, classifier)


def _in_order(hits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """OpenCV's threads leave hits in any order; sums of support must not depend on it."""
    return hits[np.lexsort(hits.T)][:MAX_CANDIDATES]


def _support(hits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(n,) for each hit the sum of its overlaps with those others that overlap it enough."""
    total = np.empty(len(hits), np.float32)
    for row, hit in enumerate(hits):
        overlap = boxes.overlaps(hit[None], hits)[0]
        overlap[row] = 0
        total[row] = overlap[overlap >= _SUPPORT_IOU].sum()
    return total


family = CascadeFamily()
