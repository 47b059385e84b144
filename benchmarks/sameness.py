"""Detections in, one short word an image out, so that any two variants can be compared box by box."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from jobs.detect.tables.parquet import read_detections, read_images

#: Image name to what was found in it, as `fingerprint` or `failure` says it.
Fingerprints = dict[str, str]


def fingerprint(
    boxes: npt.NDArray[np.float32], scores: npt.NDArray[np.float32], class_ids: npt.NDArray[np.int32]
) -> str:
    """Equal for the same boxes (n, 4), scores (n,) and classes (n,), bit for bit and in the same order."""
    digest = hashlib.blake2b(digest_size=8)
    digest.update(np.ascontiguousarray(class_ids, np.int32).tobytes())
    digest.update(np.ascontiguousarray(scores, np.float32).tobytes())
    digest.update(np.ascontiguousarray(boxes, np.float32).tobytes())
    return f"{len(scores)} boxes {digest.hexdigest()}"


def failure(code: str) -> str:
    return f"failed {code}"


def boxes(word: str) -> int:
    """How many a fingerprint stands for; none for a failure."""
    count, kind, *_ = word.split()
    return int(count) if kind == "boxes" else 0


def of_run(folder: Path) -> Fingerprints:
    """What the pipeline's own tables say: its run directory in."""
    none = fingerprint(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int32))
    found: Fingerprints = {}
    for table in read_images(folder, ["path", "status", "error_code"]):
        said = zip(*(table[name].to_pylist() for name in ("path", "status", "error_code")), strict=True)
        found.update({path: none if status == "ok" else failure(code or status) for path, status, code in said})
    for table in read_detections(folder):
        item = table["item"].to_numpy()
        corners = np.stack([table[name].to_numpy() for name in ("x1", "y1", "x2", "y2")], axis=1)
        scores, class_ids = table["score"].to_numpy(), table["class_id"].to_numpy()
        starts = np.flatnonzero(np.diff(item, prepend=-1))
        for first, end in zip(starts, [*starts[1:], len(item)], strict=True):
            rows = slice(first, end)
            found[table["path"][int(first)].as_py()] = fingerprint(corners[rows], scores[rows], class_ids[rows])
    return found


def differences(expected: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """One line for each image of which the two do not say the same; none: they agree."""
    lines = []
    for name in sorted(expected.keys() | found.keys()):
        want, have = expected.get(name, "absent"), found.get(name, "absent")
        if want != have:
            lines.append(f"{name}: {want} expected, {have} found")
    return lines
