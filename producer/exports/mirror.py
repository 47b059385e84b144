"""Mirrors the dataset's folders, with one file an image."""

from __future__ import annotations

import os
from array import array
from pathlib import Path

import numpy as np

from producer.exports.blocks import Source
from producer.exports.stems import refusal, stem


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


def place(folder: Path, path: bytes, ending: str) -> Path:
    """Where an image's file goes; its folders are made."""
    target = folder / os.fsdecode(stem(path) + ending.encode())
    target.parent.mkdir(parents=True, exist_ok=True)
    return target
