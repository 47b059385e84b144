"""Items in, records out: fetch, decode, preprocess, infer, postprocess. Knows neither Celery nor Redis."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from common.errors import ItemCode, ItemError
from common.images import decode
from common.images.scale import Scale
from common.limits import MAX_ERROR_CHARS
from common.protocol.messages import DETECTION_DTYPE, DetectionArray, ItemRecord, ItemTiming, ShardResult
from jobs.detect.detectors.base import Detections, DetectOptions, Detector

#: Reads one item: its relative path in, the file's bytes out; raises ItemError.
Fetch = Callable[[bytes], bytes]


#: The most that rounding makes of a score of 1.
_MOST = 1.001


class Interrupted(Exception):
    """The run was cancelled or paused, or the worker ends: the shard is given up between two images."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a shard's images have in common."""

    detector: Detector
    options: DetectOptions
    max_pixels: int
    fetch: Fetch
    #: Of deep images, the values that become 0 and 255; None: the whole range of their type.
    scale: Scale | None = None


@dataclass(slots=True)
class Looked:
    """What was found so far, in the order of the paths."""

    records: list[ItemRecord] = field(default_factory=list)
    _found: list[DetectionArray] = field(default_factory=list)

    @property
    def detections(self) -> DetectionArray:
        """Of all images, with `row` counting the paths."""
        return np.concatenate(self._found) if self._found else ShardResult.no_detections()

    def add(self, record: ItemRecord, detections: Detections | None) -> None:
        if detections is not None and len(detections.scores):
            self._found.append(_rows(len(self.records), detections))
        self.records.append(record)


def look_at(paths: Sequence[bytes], job: Job, before: Callable[[Looked], bool]) -> Looked:
    """One record per path.

    `before` is called before each image with what was found until then. It ends the work there by False, and may raise
    Interrupted. Nothing else is raised but what `job.fetch` raises beside ItemError: an image that cannot be looked at
    is a record with a code.
    """
    looked = Looked()
    for path in paths:
        if not before(looked):
            break
        looked.add(*look_at_one(path, job))
    return looked


def look_at_one(path: bytes, job: Job) -> tuple[ItemRecord, Detections | None]:
    """The way of one image."""
    started = time.time()
    clock = [time.perf_counter()]
    size: int | None = None
    sha: str | None = None
    try:
        data = job.fetch(path)
        size, sha = len(data), hashlib.sha256(data).hexdigest()
        clock.append(time.perf_counter())
        image, header = _decode(data, job)
        clock.append(time.perf_counter())
        detections = _detect(image, job, clock)
    except ItemError as error:
        return _failed(error.code, str(error), size, sha, _timing(started, clock)), None
    except MemoryError:
        text = "not enough memory for this image; give the machine more, or lower --max-pixels"
        return _failed(ItemCode.OUT_OF_MEMORY, text, size, sha, _timing(started, clock)), None
    return (
        ItemRecord(
            bytes=size,
            content_sha256=sha,
            width=image.shape[1],
            height=image.shape[0],
            exif_orientation=header.exif_orientation,
            timing=_timing(started, clock),
            deep=header.deep,
        ),
        detections,
    )


def _decode(data: bytes, job: Job) -> tuple[decode.Image, decode.Header]:
    """What a parser raises that nobody foresaw is this image's failure, and not its shard's."""
    try:
        return decode.decode(data, job.max_pixels, job.scale)
    except (MemoryError, ItemError):
        raise
    except Exception as error:
        text = f"reading it raised {type(error).__name__}: {error}; convert it to PNG or JPEG, and report the file"
        raise ItemError(ItemCode.CORRUPT, text) from error


def _detect(image: decode.Image, job: Job, clock: list[float]) -> Detections:
    """Appends an instant to `clock` after each stage. Whatever a detector raises is this image's failure."""
    try:
        prepared = job.detector.preprocess(image, job.options)
        clock.append(time.perf_counter())
        raw = job.detector.infer(prepared)
        clock.append(time.perf_counter())
        detections = job.detector.postprocess(raw, image, job.options)
        clock.append(time.perf_counter())
        sane = _sane(detections, len(job.detector.info.labels))
    except (MemoryError, ItemError):
        raise
    except Exception as error:
        if decode.is_no_memory(error):
            raise MemoryError from None
        # Not only ours: a detector may come from another package, and engines raise types of their own.
        raise ItemError(ItemCode.DETECTOR_ERROR, f"{type(error).__name__}: {error}") from error
    if not sane:
        text = (
            "the detector gave boxes or scores that are not finite, scores outside 0..1, unknown classes, or not "
            "one of each a box"
        )
        raise ItemError(ItemCode.DETECTOR_ERROR, text)
    return detections


def _sane(detections: Detections, classes: int) -> bool:
    """Nothing that the tables cannot hold."""
    ids = detections.class_ids
    count = len(ids)
    return bool(
        (detections.boxes.shape, detections.scores.shape, ids.shape) == ((count, 4), (count,), (count,))
        and np.isfinite(detections.boxes).all()
        and ((detections.scores >= 0) & (detections.scores <= _MOST)).all()
        and ((ids >= 0) & (ids < classes)).all()
    )


def _timing(started: float, clock: list[float]) -> ItemTiming:
    """Stages that were not reached took 0 s."""
    stages = [round(after - before, 6) for before, after in pairwise(clock)]
    return ItemTiming(round(started, 6), *stages)


def _failed(code: ItemCode, text: str, size: int | None, sha: str | None, timing: ItemTiming) -> ItemRecord:
    line = " ".join(text.split())[:MAX_ERROR_CHARS]
    return ItemRecord(bytes=size, content_sha256=sha, error_code=code, error=line, timing=timing)


def _rows(row: int, detections: Detections) -> DetectionArray:
    array = np.empty(len(detections.scores), DETECTION_DTYPE)
    array["row"] = row
    array["class_id"] = detections.class_ids
    array["score"] = detections.scores
    for column, name in enumerate(("x1", "y1", "x2", "y2")):
        array[name] = detections.boxes[:, column]
    return array
