"""A network's warm-up outputs in, the one head that reads them out."""

from __future__ import annotations

from common.errors import ModelError
from worker.heads.base import Head, Outputs, Size
from worker.heads.end2end import EndToEnd
from worker.heads.nanodet import NanoDet
from worker.heads.yolov5 import Yolov5
from worker.heads.yolov8 import Yolov8
from worker.heads.yolox import Yolox

#: Every head by the name that --head takes.
HEADS: dict[str, Head] = {
    head.name: head for head in (Yolox(decoded=False), Yolox(decoded=True), Yolov5(), Yolov8(), EndToEnd(), NanoDet())
}
#: Those that Ultralytics exports.
_ULTRALYTICS = ("yolov5", "yolov8", "end2end")


def named(name: str, outputs: Outputs, size: Size, file: str) -> Head:
    """The head that the user chose. Raises ModelError where it cannot read these outputs."""
    head = HEADS.get(name)
    if head is None:
        raise ModelError(f"unknown head {name!r}; --head takes {', '.join(HEADS)}")
    if not head.accepts(outputs, size):
        readers = [other.name for other in HEADS.values() if other.accepts(outputs, size)]
        hint = f"try --head {' or '.join(readers)}" if readers else "no head reads them"
        raise ModelError(f"{file}: head {name} cannot read outputs of {_shapes(outputs)}; {hint}")
    return head


def recognise(outputs: Outputs, size: Size, ultralytics: bool, file: str) -> Head:
    """By shapes, then the number of anchors that the strides imply, then ranges of values.

    `ultralytics`: the metadata says that this is a detector of theirs. Raises ModelError where no head or more
    than one remains.
    """
    pool = [HEADS[name] for name in _ULTRALYTICS] if ultralytics else list(HEADS.values())
    readers = [head for head in pool if head.accepts(outputs, size)]
    if not readers:
        raise ModelError(f"{file} is not a detector that is known here: {_guess(outputs)}")
    fitting = [head for head in readers if head.fits(outputs, size)]
    if len(fitting) == 1:
        return fitting[0]
    if ultralytics and len(readers) == 1:
        return readers[0]
    choices = ", ".join(head.name for head in fitting or readers)
    raise ModelError(
        f"{file}: outputs of {_shapes(outputs)} could be read in more than one way, or only by chance; "
        f"choose with --head: {choices}"
    )


def _shapes(outputs: Outputs) -> str:
    return ", ".join("x".join(map(str, out.shape)) or "scalar" for out in outputs)


def _guess(outputs: Outputs) -> str:
    """What the shapes look like, so that the user sees what was taken for a detector."""
    shapes = _shapes(outputs)
    ranks = [out.ndim for out in outputs]
    if ranks == [2]:
        return f"one output of {shapes} looks like a classification model; export a detector"
    if 4 in ranks:
        return f"outputs of {shapes} look like a segmentation model; export a detector"
    return f"outputs of {shapes} belong to no head; heads are {', '.join(HEADS)}"
