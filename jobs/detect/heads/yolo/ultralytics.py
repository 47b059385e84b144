"""Reads what Ultralytics' exports say of themselves in their metadata, and says how they see an image."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from common.errors import ModelError
from jobs.detect.detectors.letterbox import Pixels

#: `LetterBox` of ultralytics: RGB, 0..1, centred on grey.
PIXELS = Pixels("RGB", "centre", "nearest", pad=114, std=(255.0, 255.0, 255.0))

#: What an export may be that has no boxes along the axes, in words for the refusal.
_OTHER_TASKS = {
    "segment": "a segmentation model",
    "pose": "a pose model",
    "obb": "an oriented-box (OBB) model",
    "classify": "a classification model",
}


@dataclass(frozen=True, slots=True)
class Metadata:
    """`names` in the order of class ids; `imgsz` is (height, width); `stride` in pixels is that of the coarsest map."""

    names: tuple[str, ...] | None = None
    #: Why its names cannot be read, a clause for the user.
    names_fault: str = ""
    imgsz: tuple[int, int] | None = None
    stride: int | None = None
    #: True where the export says itself that it is a detector.
    is_detector: bool = False
    #: The class of the network's last module, as exports since 2026 name it.
    head: str = ""


def read(metadata: Mapping[str, str], file: str) -> Metadata:
    """Raises ModelError for a task other than detection. What else cannot be read is as if it were not there, but for
    names: those have a fault.
    """
    task = metadata.get("task")
    if task is not None and task != "detect":
        what = _OTHER_TASKS.get(task, f"a model for {task!r}")
        raise ModelError(f"{file} is {what}; export one for detection (task=detect)")
    names, fault = _names(metadata)
    stride = _literal(metadata, "stride")
    if isinstance(stride, list | tuple):
        stride = max(stride, default=None)
    return Metadata(
        names=names,
        names_fault=fault,
        imgsz=_size(_literal(metadata, "imgsz")),
        stride=int(stride) if isinstance(stride, int | float) and stride >= 1 else None,
        is_detector=task == "detect",
        head=metadata.get("head", ""),
    )


def _size(imgsz: Any) -> tuple[int, int] | None:
    """640, [640] or [384, 640]; anything else is no size."""
    sides = list(imgsz) if isinstance(imgsz, list | tuple) else [imgsz]
    if len(sides) not in (1, 2) or not all(isinstance(side, int | float) and side >= 1 for side in sides):
        return None
    return int(sides[0]), int(sides[-1])


def _names(metadata: Mapping[str, str]) -> tuple[tuple[str, ...] | None, str]:
    """Names in the order of their ids, which may be digits in quotes as JSON has them; or what is wrong with them."""
    names = _literal(metadata, "names")
    if isinstance(names, dict):
        by_id = {int(key) if isinstance(key, str) and key.isdecimal() else key: name for key, name in names.items()}
        if set(by_id) != set(range(len(names))):
            return None, f"the class ids in its metadata are not 0 to {len(names) - 1}"
        names = [by_id[index] for index in range(len(names))]
    if isinstance(names, list | tuple):
        return tuple(map(str, names)) or None, ""
    text = metadata.get("names", "")
    return None, f"`names` in its metadata cannot be read: {text[:60]!r}" if text not in ("", "None") else ""


def _literal(metadata: Mapping[str, str], key: str) -> Any:
    """Ultralytics writes Python literals; they are parsed, never run. None for what is none."""
    try:
        return ast.literal_eval(metadata.get(key, "None"))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
