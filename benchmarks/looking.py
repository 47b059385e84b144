"""A detector's name in, a function that looks at one file out: what all variants have in common."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from benchmarks.sameness import failure, fingerprint
from common.errors import ItemError
from common.images import decode
from common.limits import DEFAULT_MAX_PIXELS
from common.settings import Settings
from jobs.detect.detectors import load as models
from jobs.detect.detectors.base import Detections, DetectOptions, Detector
from producer.run.plan import DEFAULT_FLOOR


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """One image, looked at. Instants are of the monotonic clock, which all processes of a machine share."""

    name: str
    began: float
    ended: float
    #: Detections, or the code of the failure.
    found: Detections | str

    @property
    def fingerprint(self) -> str:
        if isinstance(self.found, str):
            return failure(self.found)
        return fingerprint(self.found.boxes, self.found.scores, self.found.class_ids)


@dataclass(frozen=True, slots=True, eq=False)
class Looker:
    """A loaded detector, with the options that `producer submit` uses when it is given none."""

    detector: Detector
    options: DetectOptions

    def look(
        self,
        path: Path,
        load: Callable[[], Callable[[Any], Any]] | None = None,
        guard: AbstractContextManager[Any] = nullcontext(),  # noqa: B008 - it holds no state
    ) -> Seen:
        """Read, decode, preprocess, infer, postprocess: the pipeline's own code without its digests and timings.

        `load` gives the network to use instead of the loaded one; its time counts. `guard` is held while it infers.
        """
        began = time.monotonic()
        infer = load() if load else self.detector.infer
        try:
            image, _ = decode.decode(path.read_bytes(), DEFAULT_MAX_PIXELS)
        except ItemError as error:
            return Seen(path.name, began, time.monotonic(), error.code.value)
        prepared = self.detector.preprocess(image, self.options)
        with guard:
            raw = infer(prepared)
        found = self.detector.postprocess(raw, image, self.options)
        return Seen(path.name, began, time.monotonic(), found)


def load(text: str) -> Looker:
    """NAME, PATH or NAME=PATH, on one thread. Raises ModelError."""
    cv2.setNumThreads(1)
    settings = Settings()
    detector = models.load(text, head=None, labels=None, cache_dir=settings.cache, mirror=settings.model_mirror)
    floor = min(DEFAULT_FLOOR, detector.info.default_conf)
    return Looker(detector, DetectOptions(iou=detector.info.default_iou, floor=floor))
