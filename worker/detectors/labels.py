"""A model's own names, a file beside it or the user's file in; one label a class out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from common.errors import ModelError

#: The classes of COCO in the order of their contiguous ids (Lin et al., arXiv 1405.0312).
# fmt: off
COCO = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat",
    "traffic light", "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog",
    "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag",
    "tie", "suitcase", "frisbee", "skis", "snowboard", "sports ball", "kite", "baseball bat",
    "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle", "wine glass", "cup", "fork",
    "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli", "carrot", "hot dog",
    "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed", "dining table", "toilet",
    "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven", "toaster",
    "sink", "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier",
    "toothbrush",
)
# fmt: on

#: What --labels takes instead of a file, for COCO's names.
COCO_NAME = "coco"
#: COCO's ids of categories, which some networks have as their classes: these are of no category.
_NO_CATEGORY = (0, 12, 26, 29, 30, 45, 66, 68, 69, 71, 83)


def _coco_categories() -> tuple[str, ...]:
    names = iter(COCO)
    return tuple(f"class_{i}" if i in _NO_CATEGORY else next(names) for i in range(len(COCO) + len(_NO_CATEGORY)))


#: What a model has where it has so many classes, and nothing else names them.
_BY_COUNT = {len(names): names for names in (COCO, _coco_categories())}

#: Beside `best.onnx`, the first of these that is there: `best.names`, `best.txt`. One label a line.
SIDECAR_SUFFIXES = (".names", ".txt")


def choose(path: Path, classes: int | None, own: Sequence[str] | None, chosen: Path | None) -> tuple[str, ...]:
    """The user's file, or COCO's names for `coco`, else the model's own names, else a file beside it, else COCO's for
    80 classes, or for the 91 ids of its categories, else `class_0` and so on.

    `classes` is None where the model's outputs do not say how many there are. Raises ModelError where the number
    of labels is another, or is not known.
    """
    beside = next((p for p in map(path.with_suffix, SIDECAR_SUFFIXES) if p.is_file()), None)
    if chosen is not None and chosen.name == COCO_NAME and not chosen.exists():
        labels, source = _BY_COUNT.get(classes or 0, COCO), "COCO"
    elif chosen is not None:
        labels, source = _read(chosen), str(chosen)
    elif own is not None:
        labels, source = tuple(own), "its metadata"
    elif beside is not None:
        labels, source = _read(beside), str(beside)
    elif classes is None:
        raise ModelError(
            f"{path}: its outputs do not say how many classes there are; name them with --labels FILE, "
            f"or with --labels {COCO_NAME} where it knows COCO's 80"
        )
    else:
        return _BY_COUNT.get(classes) or tuple(f"class_{i}" for i in range(classes))
    if classes is not None and len(labels) != classes:
        raise ModelError(
            f"{path} has {classes} classes, but {source} has {len(labels)} labels; give one a line with --labels FILE"
        )
    return labels


def _read(path: Path) -> tuple[str, ...]:
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ModelError(f"labels {path} cannot be read: {why}; give a text file with one label a line") from None
    labels = tuple(line.strip() for line in lines if line.strip())
    if not labels:
        raise ModelError(f"labels {path} is empty; give a text file with one label a line")
    return labels
