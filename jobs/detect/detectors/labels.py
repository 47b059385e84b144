"""Chooses a model's labels: the user's file, its own names, or a file beside it."""

from __future__ import annotations

import codecs
import re
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

#: What a model has whose outputs do not say how many classes there are, and which nothing names. An image with a class
#: beyond these fails.
NAMELESS = tuple(f"class_{i}" for i in range(len(COCO)))

#: Beside `best.onnx`, the first of these that is there: `best.names`, `best.txt`. One label a line.
SIDECAR_SUFFIXES = (".names", ".txt")
#: Formats that hold names among other things; read as lines they would give labels that are none.
_STRUCTURED = (".yaml", ".yml", ".json", ".xml", ".pbtxt", ".data")


def are_given(path: Path, chosen: Path | None) -> bool:
    """Whether the user, or a file beside the model, names the classes."""
    return chosen is not None or _beside(path) is not None


def _beside(path: Path) -> Path | None:
    return next((p for p in map(path.with_suffix, SIDECAR_SUFFIXES) if p.is_file()), None)


def choose(path: Path, classes: int | None, own: Sequence[str] | None, chosen: Path | None) -> tuple[str, ...]:
    """The user's file, or COCO's names for `coco`, else the model's own names, else a file beside it, else COCO's for
    80 classes, or for the 91 ids of its categories, else `class_0` and so on.

    `classes` is None where the model's outputs do not say how many there are: without names it gets NAMELESS. Raises
    ModelError where the number of labels is another.
    """
    beside = _beside(path)
    if chosen is not None and chosen.name == COCO_NAME and not chosen.exists():
        labels, source = _BY_COUNT.get(classes or 0, COCO), "COCO"
    elif chosen is not None:
        labels, source = _read(chosen), str(chosen)
    elif own is not None:
        labels, source = tuple(own), "its metadata"
    elif beside is not None:
        labels, source = _read(beside), str(beside)
    elif classes is None:
        return NAMELESS
    else:
        return _BY_COUNT.get(classes) or tuple(f"class_{i}" for i in range(classes))
    if classes is not None and len(labels) != classes:
        raise ModelError(
            f"{path} has {classes} classes, but {source} has {len(labels)} labels; give one a line with --labels FILE"
        )
    return labels


def darknet_names(cfg: Path, classes: int) -> Path | None:
    """What Darknet itself would read: the `names` of the only .data file beside a cfg, else the only .names file there.

    None where a file beside it has the cfg's own name, and where the labels are not as many as its classes.
    """
    folder = cfg.parent
    if any(cfg.with_suffix(suffix).is_file() for suffix in SIDECAR_SUFFIXES):
        return None
    found = sorted(folder.glob("*.names"))
    try:
        if len(data := sorted(folder.glob("*.data"))) == 1:
            named = re.search(r"^\s*names\s*=\s*(.+?)\s*$", _decode(data[0].read_bytes()), re.MULTILINE)
            # Written for the folder of the training: here it is looked for beside the cfg.
            found = [path for path in (folder / Path(named[1]).name,) if path.is_file()] if named else found
        return found[0] if len(found) == 1 and len(_read(found[0])) == classes else None
    except (OSError, UnicodeDecodeError, ModelError):
        return None


def _read(path: Path) -> tuple[str, ...]:
    if path.suffix.lower() in _STRUCTURED:
        raise ModelError(
            f"labels {path}: names are not read from a {path.suffix.lower()} file; write them into a text file, one "
            "a line in the order of their ids"
        )
    try:
        text = _decode(path.read_bytes())
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 or UTF-16 text"
        raise ModelError(f"labels {path} cannot be read: {why}; give a text file with one label a line") from None
    labels = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not labels:
        raise ModelError(f"labels {path} is empty; give a text file with one label a line")
    return labels


def _decode(data: bytes) -> str:
    """UTF-8, or UTF-16 where the file says so by its mark, as Windows writes it. Raises UnicodeDecodeError: of an old
    code page nobody knows which, and names would come out wrong.
    """
    text = data.decode("utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig")
    if "\0" in text:
        raise UnicodeDecodeError("utf-8", data, 0, 1, "NUL")
    return text
