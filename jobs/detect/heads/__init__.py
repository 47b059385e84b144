"""Finds the one head that reads a network's outputs: by what its metadata says, then by shapes, then by values."""

from __future__ import annotations

from common.errors import ModelError
from jobs.detect.heads import batch_rows, ppyoloe
from jobs.detect.heads.base import Head, Outputs, Reading, Trial
from jobs.detect.heads.detr import detr
from jobs.detect.heads.detr.rtdetr import TRANSFORMER, RtDetr
from jobs.detect.heads.detr.rtdetr_sized import RtDetrSized
from jobs.detect.heads.efficient_nms import EfficientNms
from jobs.detect.heads.nanodet import NanoDet
from jobs.detect.heads.nanodet_plus import NanoDetPlus
from jobs.detect.heads.unknown import what_it_looks_like
from jobs.detect.heads.yolo.end2end import EndToEnd
from jobs.detect.heads.yolo.yolonas import YoloNas
from jobs.detect.heads.yolo.yolov5 import Yolov5
from jobs.detect.heads.yolo.yolov8 import Yolov8
from jobs.detect.heads.yolo.yolox import Yolox

_ALL: tuple[Head, ...] = (
    Yolox(decoded=False),
    Yolox(decoded=True),
    Yolov5(),
    Yolov8(rows=False),
    Yolov8(rows=True),
    EndToEnd(),
    NanoDet(),
    NanoDetPlus(),
    RtDetr(rows=False),
    RtDetr(rows=True),
    RtDetrSized(),
    *detr.FAMILY,
    YoloNas(),
    *batch_rows.FAMILY,
    EfficientNms(),
    *ppyoloe.FAMILY,
)
#: Every head by the name that --head takes.
HEADS: dict[str, Head] = {head.name: head for head in _ALL}
#: Those that Ultralytics exports, and of these its transformers', by the name of their last module.
_ULTRALYTICS = ("yolov5", "yolov8", "end2end", "rtdetr", "rtdetr-rows")
_TRANSFORMERS = ("rtdetr", "rtdetr-rows")


def recognise(trial: Trial, file: str) -> Reading:
    """The only reading that the graph shows to be right. With Ultralytics' metadata, the only one of their heads that
    nothing speaks against is right too. Raises ModelError where none or more than one remains, and names only those.
    """
    readings = _readings(trial)
    possible = [reading for reading in readings if not reading.objection]
    sure = [reading for reading in possible if reading.sure]
    if len(sure) == 1:
        return sure[0]
    if trial.meta.is_detector and len(possible) == 1 and possible[0].head.name in _ULTRALYTICS:
        return possible[0]
    if possible:
        raise ModelError(f"{file}: outputs of {shapes(trial.outputs)} {_choice(sure or possible)}")
    raise ModelError(f"{file} is not a detector that is known here: {_why(trial, readings)}")


def named(name: str, trial: Trial, file: str) -> Reading:
    """The reading of the head that the user chose. Raises ModelError where shapes or values speak against it."""
    head = HEADS.get(name)
    if head is None:
        raise ModelError(f"unknown head {name!r}; --head takes {', '.join(HEADS)}")
    reading = head.read(trial)
    if reading is not None and not reading.objection:
        return reading
    possible = [other for other in _readings(trial) if not other.objection]
    readers = [other.head.name for other in [other for other in possible if other.sure] or possible]
    hint = f"try --head {' or '.join(readers)}" if readers else "no head reads them"
    if reading is None:
        raise ModelError(f"{file}: head {name} cannot read outputs of {shapes(trial.outputs)}; {hint}")
    raise ModelError(
        f"{file}: head {name} would read outputs of {shapes(trial.outputs)} wrongly: {reading.objection}; {hint}"
    )


def _readings(trial: Trial) -> list[Reading]:
    """Those of Ultralytics' heads where the metadata is theirs, and of these the ones whose shape it is; of all heads
    where it is not, or where something speaks against each of theirs: others change exports and leave the metadata.
    """
    names = _TRANSFORMERS if trial.meta.head == TRANSFORMER else _ULTRALYTICS if trial.meta.is_detector else ()
    theirs = [reading for name in names if (reading := HEADS[name].read(trial))]
    theirs = [reading for reading in theirs if reading.sure] or theirs
    if any(not reading.objection for reading in theirs):
        return theirs
    others = [reading for head in _ALL if head.name not in names and (reading := head.read(trial))]
    # A shape that is theirs is no other's by chance.
    return theirs + [reading for reading in others if reading.sure or reading.doubt or not theirs]


def _choice(readings: list[Reading]) -> str:
    names = ", ".join(reading.head.name for reading in readings)
    if len(readings) > 1:
        return f"could be read in more than one way; choose with --head: {names}"
    doubt = readings[0].doubt or "nothing in them shows that they are"
    return f"could be {names}'s, but {doubt}; if they are, choose with --head: {names}"


def _why(trial: Trial, readings: list[Reading]) -> str:
    if (looks := what_it_looks_like(trial)) or not readings:
        return looks or f"outputs of {shapes(trial.outputs)} belong to no head; heads are {', '.join(HEADS)}"
    # The first that is this graph's by its shape is what it most likely is.
    nearest = next((reading for reading in readings if reading.sure), readings[0])
    return f"outputs of {shapes(trial.outputs)} have the shape of {nearest.head.name}'s, but {nearest.objection}"


def shapes(outputs: Outputs) -> str:
    return ", ".join("x".join(map(str, out.shape)) or "scalar" for out in outputs)
