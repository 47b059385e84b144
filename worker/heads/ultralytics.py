"""What Ultralytics' exports have in common: how they see an image, and what their metadata says."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from common.errors import ModelError
from worker.letterbox import Pixels

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
    """`names` in the order of class ids; `imgsz` is (height, width)."""

    names: tuple[str, ...] | None = None
    imgsz: tuple[int, int] | None = None
    #: True where the export says itself that it is a detector.
    is_detector: bool = False


def read(metadata: Mapping[str, str], file: str) -> Metadata:
    """Raises ModelError for a task other than detection, and for names that cannot be read."""
    task = metadata.get("task")
    if task is not None and task != "detect":
        what = _OTHER_TASKS.get(task, f"a model for {task!r}")
        raise ModelError(f"{file} is {what}; export one for detection (task=detect)")
    names = _literal(metadata, "names", file)
    if isinstance(names, dict):
        if sorted(names) != list(range(len(names))):
            raise ModelError(f"{file}: the class ids in its metadata are not 0 to {len(names) - 1}; export it again")
        names = [names[index] for index in range(len(names))]
    imgsz = _literal(metadata, "imgsz", file)
    size = (int(imgsz[0]), int(imgsz[1])) if isinstance(imgsz, list | tuple) and len(imgsz) == 2 else None
    return Metadata(tuple(map(str, names)) if names else None, size, task == "detect")


def _literal(metadata: Mapping[str, str], key: str, file: str) -> Any:
    """Ultralytics writes Python literals; they are parsed, never run."""
    text = metadata.get(key)
    if text is None:
        return None
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        raise ModelError(f"{file}: `{key}` in its metadata cannot be read: {text[:60]!r}; export it again") from None
