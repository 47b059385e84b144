"""Decides by name what folders, globs and buckets pass over: hidden names, leftovers, run directories, --exclude."""

# Paths are bytes here, and pathlib holds text only.
# ruff: noqa: PTH118

from __future__ import annotations

import os
from collections.abc import Set

from common.datasets.base import Tally
from common.datasets.exclude import Exclude

#: Lower case. Names that people do not give: thumbnails, bins and snapshots of network storage, macOS and Windows.
LEFTOVERS = frozenset(
    name.encode()
    for name in (
        # Synology and QNAP
        *("@eadir", "@tmp", "@recycle", "@recently-snapshot", "@sharebin", "@sharesnap", "#recycle", "#snapshot"),
        # other network storage, and file systems
        *("~snapshot", "lost+found", "lost.dir", "network trash folder", "temporary items"),
        # macOS and Windows
        *("__macosx", "$recycle.bin", "recycler", "recycled", "system volume information"),
        *("thumbs.db", "ehthumbs.db", "desktop.ini"),
    )
)
#: What a run writes. In order of their names the tables come before the picture, which is its one image.
RUN_TABLES, RUN_PICTURE = (b"detections.parquet", b"images.parquet"), b"preview.jpg"


class Sieve:
    """Passes over names and counts them, while a dataset is listed once."""

    def __init__(self, exclude: Exclude | None = None) -> None:
        self.tally = Tally()
        self._exclude = exclude
        if exclude is not None:
            # All of them, so that one that matches nothing can be told.
            self.tally.excluded.update(dict.fromkeys(exclude.patterns, 0))

    def passes_over(self, folder: bytes, name: bytes, is_folder: bool, spelled: Set[bytes]) -> bool:
        """Whether a name in a folder (absolute, ending in '/') is no part of the dataset; it is counted then.

        `spelled` holds names that the user wrote out: no leftovers, then.
        """
        # First, so that a pattern for what is passed over anyway has matched something.
        if self.excludes(folder + name, is_folder):
            return True
        if name.startswith(b"."):
            self.tally.hidden += 1
        elif name.lower() in LEFTOVERS and name not in spelled:
            self.tally.leftovers += 1
        else:
            return False
        return True

    def excludes(self, path: bytes, is_folder: bool = False) -> bool:
        """Whether --exclude names an absolute path; it is counted then."""
        pattern = None if self._exclude is None else self._exclude.by(path, is_folder)
        if pattern is None:
            return False
        self.tally.excluded[pattern] += 1
        return True


def is_run_dir(folder: bytes) -> bool:
    """Whether a folder is a run directory, or a published copy of one: its pictures are no part of a dataset."""

    def has(name: bytes) -> bool:
        return os.path.lexists(os.path.join(folder, name))

    if has(b"images.parquet"):
        # Of a copy that is not whole, run.json, the last, may be lacking.
        return has(b"run.json") or has(b"detections.parquet")
    return has(b"run.json") and has(b"manifest") and has(b"journal.bin")
