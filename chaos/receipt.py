"""Two run directories of one dataset in, what was lost, doubled or came out otherwise out."""

from __future__ import annotations

import filecmp
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from common.errors import ManyeyesError
from jobs.detect.tables.parquet import read_detections, read_images
from producer.rundir.run_directory import RunDir

#: What must be the same bytes whatever happened on the way.
SAME = ("images.parquet", "detections.parquet", "dataset.coco.json", "detections.coco.json", "detections.csv")


@dataclass(frozen=True, slots=True)
class Receipt:
    """`verify` is None where this checkout's producer has no such command."""

    images: int
    lost: int
    doubled: int
    rows_different: int
    files_different: tuple[str, ...]
    failed: dict[str, int]
    verify: str | None

    @property
    def clean(self) -> bool:
        wrong = self.lost or self.doubled or self.rows_different or self.files_different
        return not wrong and self.verify in (None, "agrees")


def compare(quiet: RunDir, stormy: RunDir) -> Receipt:
    """`quiet` is the reference; its images, and their number, are what `stormy` must have too."""
    items = Counter(item for table in _images(stormy) for item in table["item"].to_pylist())
    wanted = {item for table in _images(quiet) for item in table["item"].to_pylist()}
    rows = [row for table in _images(stormy) for row in table.to_pylist()]
    pending = sum(row["status"] == "pending" for row in rows)
    different = _different(_images(quiet), _images(stormy))
    return Receipt(
        images=len(wanted),
        lost=len(wanted - items.keys()) + pending,
        doubled=sum(count - 1 for count in items.values()),
        rows_different=different + _different(_detections(quiet), _detections(stormy)),
        files_different=tuple(name for name in SAME if not _same(quiet.path / name, stormy.path / name)),
        failed=dict(Counter(row["error_code"] for row in rows if row["status"] == "failed")),
        verify=verify(stormy),
    )


def verify(run: RunDir) -> str | None:
    """`agrees`, or what `producer verify` says; None where there is no such command."""
    command = [sys.executable, "-m", "producer.cli.app", "verify"]
    if subprocess.run([*command, "--help"], capture_output=True, check=False).returncode != 0:
        return None
    said = subprocess.run([*command, str(run.path)], capture_output=True, text=True, check=False)
    return "agrees" if said.returncode == 0 else (said.stderr or said.stdout).strip() or f"exit {said.returncode}"


def _images(run: RunDir) -> list[Any]:
    """Empty where there is no table: all is lost then."""
    try:
        return list(read_images(run.path))
    except ManyeyesError:
        return []


def _detections(run: RunDir) -> list[Any]:
    try:
        return list(read_detections(run.path))
    except ManyeyesError:
        return []


def _different(ours: list[Any], theirs: list[Any]) -> int:
    """Rows of either that are not the other's, place by place."""
    if len(ours) == len(theirs) and all(one.equals(other) for one, other in zip(ours, theirs, strict=True)):
        return 0
    left, right = ([row for table in tables for row in table.to_pylist()] for tables in (ours, theirs))
    return sum(one != other for one, other in zip_longest(left, right))


def _same(one: Path, other: Path) -> bool:
    return one.is_file() and other.is_file() and filecmp.cmp(one, other, shallow=False)
