"""Names an image's file in formats of one file an image, and finds images that would be the same file there."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from common.datasets import Dataset, display_path
from common.errors import UsageError

#: Formats of one file an image, named by its stem.
BY_STEM = ("yolo", "voc")
#: Images that are compared before a run begins: listing them takes a second. Of larger datasets the rest is compared
#: when the format is written.
_COMPARED = 100_000


def stem(path: bytes) -> bytes:
    """The relative path without its last ending; a name that only begins with a dot has none."""
    folder, slash, name = path.rpartition(b"/")
    bare, dot, _ = name.rpartition(b".")
    return folder + slash + (bare if dot and bare.strip(b".") else name)


def refusal(first: bytes, second: bytes) -> UsageError:
    """Of two images that differ only in their ending."""
    return UsageError(
        f"{display_path(first)} and {display_path(second)} would be one file in a format that names files by stem; "
        "rename one of them, leave one out by --exclude, or use --format coco, csv or jsonl; nothing was written"
    )


def check_formats(formats: Iterable[str], dataset: Dataset, limit: int | None) -> None:
    """Raises UsageError where a format that was asked for cannot be written for the dataset's first images."""
    if not set(formats).intersection(BY_STEM):
        return
    seen: dict[bytes, bytes] = {}
    compared = _COMPARED if limit is None else min(limit, _COMPARED)
    for item in islice(dataset.items(), compared):
        if (other := seen.setdefault(stem(item.path), item.path)) != item.path:
            raise refusal(other, item.path)
