"""A run's images and labels in; their COCO ids out: our own, or those of a truth file."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from common.errors import UsageError

_UNKNOWN = -1
#: The names of Darknet's coco.names that are not those of COCO's own annotations.
_COCO_NAMES = {
    "aeroplane": "airplane",
    "diningtable": "dining table",
    "motorbike": "motorcycle",
    "pottedplant": "potted plant",
    "sofa": "couch",
    "tvmonitor": "tv",
}


class Ids(Protocol):
    """Where ids come from. -1 stands for what has none."""

    #: Id and name of each category, for the dataset file.
    categories: list[tuple[int, str]]
    #: (labels,) int64, by class id.
    category_ids: npt.NDArray[np.int64]

    def image_ids(self, images: Any) -> npt.NDArray[np.int64]:
        """(rows,) int64 for rows of `images.parquet`, which come in item order."""

    def notice(self) -> str:
        """After the last image: one line on what has no id, or nothing."""


class OwnIds:
    """`item + 1` and `class_id + 1`: COCO's readers take 0 for nothing."""

    def __init__(self, labels: tuple[str, ...]) -> None:
        self.categories = [(number + 1, label) for number, label in enumerate(labels)]
        self.category_ids = np.arange(1, len(labels) + 1)

    def image_ids(self, images: Any) -> npt.NDArray[np.int64]:
        ids: npt.NDArray[np.int64] = images["item"].to_numpy() + 1
        return ids

    def notice(self) -> str:
        return ""


class TruthIds:
    """The ids of a COCO truth file: images by their whole relative path, else by file name; labels by name.

    What the truth does not know is left out and counted: pycocotools' `loadRes` refuses results for other images.
    """

    def __init__(self, truth: Path, labels: tuple[str, ...]) -> None:
        self._truth = truth
        images, self.categories = load(truth)
        self._by_path = dict(images)
        self._by_name: dict[str, list[str]] = {}
        for path in self._by_path:
            self._by_name.setdefault(PurePosixPath(path).name, []).append(path)
        by_label = {name: number for number, name in self.categories}
        ids = [by_label.get(label, by_label.get(_COCO_NAMES.get(label, label), _UNKNOWN)) for label in labels]
        self.category_ids = np.array(ids, np.int64)
        self._unknown_labels = [label for label, number in zip(labels, ids, strict=True) if number == _UNKNOWN]
        if len(self._unknown_labels) == len(labels):
            names = ", ".join(list(by_label)[:5])
            raise UsageError(f"--truth {truth} has none of the detector's labels; its categories are {names}, ...")
        self._taken: dict[int, str] = {}
        self._left_out = 0
        self._first_left_out = ""

    def image_ids(self, images: Any) -> npt.NDArray[np.int64]:
        """Raises UsageError where two images would get one id, or one could get two."""
        return np.array([self._image_id(path) for path in images["path"].to_pylist()], np.int64)

    def _image_id(self, path: str) -> int:
        key = path
        if path not in self._by_path:
            found = self._by_name.get(PurePosixPath(path).name, [])
            if not found:
                self._left_out += 1
                self._first_left_out = self._first_left_out or path
                return _UNKNOWN
            if len(found) > 1:
                raise UsageError(
                    f"--truth {self._truth}: {path} could be {found[0]} or {found[1]}; "
                    "submit the folder that the truth's file names start from"
                )
            key = found[0]
        number = self._by_path[key]
        other = self._taken.setdefault(number, path)
        if other != path:
            raise UsageError(
                f"--truth {self._truth}: {other} and {path} would both be its image {key}; "
                "submit the folder that the truth's file names start from"
            )
        return number

    def notice(self) -> str:
        """Raises UsageError if no image at all was known: it is another dataset's truth."""
        if not self._taken:
            raise UsageError(
                f"--truth {self._truth} knows no image of this run, not even {self._first_left_out!r}: "
                "give the truth of this dataset"
            )
        parts = []
        if self._left_out:
            images = f"{self._left_out} image{'s' * (self._left_out != 1)}"
            parts.append(f"{images} left out, not in the truth ({self._first_left_out} is the first)")
        if self._unknown_labels:
            parts.append(f"labels left out, not in the truth: {', '.join(self._unknown_labels[:5])}")
            parts[-1] += ", ..." if len(self._unknown_labels) > 5 else ""
        return "; ".join(parts)


def load(truth: Path) -> tuple[list[tuple[str, int]], list[tuple[int, str]]]:
    try:
        data = json.loads(truth.read_bytes())
        images = [(str(image["file_name"]), int(image["id"])) for image in data["images"]]
        categories = [(int(category["id"]), str(category["name"])) for category in data["categories"]]
    except OSError as error:
        raise UsageError(f"--truth {truth}: {error.strerror}; give a COCO file with images and categories") from None
    except (ValueError, KeyError, TypeError):
        raise UsageError(f"--truth {truth} is not a COCO file with images and categories") from None
    return images, categories
