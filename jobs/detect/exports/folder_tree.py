"""Mirrors the dataset's folders, with one file an image."""

from __future__ import annotations

import errno
import os
from array import array
from pathlib import Path

import numpy as np

from common import folder_tree
from common.datasets import display_path
from common.errors import UsageError
from jobs.detect.exports.blocks import Source
from jobs.detect.exports.stems import refusal, stem


def check_stems(source: Source) -> None:
    """Raises UsageError, naming both, if two images of one folder differ only in their ending."""
    hashes = array("q")
    for block in source.blocks():
        hashes.extend(hash(stem(path)) for path in block.raw_paths)
    # 8 bytes an image. Only a run with equal hashes pays for a second look at the paths themselves.
    values, counts = np.unique(np.frombuffer(hashes, np.int64), return_counts=True)
    suspects = set(values[counts > 1].tolist())
    seen: dict[bytes, bytes] = {}
    for block in source.blocks() if suspects else ():
        for path in block.raw_paths:
            if hash(stem(path)) in suspects and (other := seen.setdefault(stem(path), path)) != path:
                raise refusal(other, path)


def write_beside(folder: Path, path: bytes, ending: str, content: bytes) -> None:
    """Writes an image's file, and makes its folders.

    Raises UsageError where the file system has no room for that name: too long, or of a folder.
    """
    target = folder / os.fsdecode(stem(path) + ending.encode())
    try:
        folder_tree.make(target.parent)
        target.write_bytes(content)
    except OSError as error:
        if error.errno not in (errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTDIR, errno.EEXIST):
            raise
        shown = display_path(path)
        raise UsageError(
            f"{shown if len(shown) <= 120 else f'{shown[:120]}...'} cannot have a file of its stem "
            f"({os.strerror(error.errno)}); use --format coco, csv or jsonl, or `producer results --to` a short path; "
            "nothing was written"
        ) from None
