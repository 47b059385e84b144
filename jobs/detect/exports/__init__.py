"""A run's tables and a view in; the detections in another tool's format out, without a worker."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from common.errors import UsageError
from common.protocol.spec import Spec
from jobs.detect.selection import View

#: Format to the name it has in a run directory: a file, or for the formats of one file an image a folder.
DEFAULT_NAMES = {
    "coco": "detections.coco.json",
    "csv": "detections.csv",
    "jsonl": "detections.jsonl",
    "yolo": "yolo",
    "voc": "voc",
}
FORMATS = tuple(DEFAULT_NAMES)
#: What the end of a run writes unless --format says otherwise.
DEFAULT_FORMATS = ("coco", "csv")
_FOLDERS = ("yolo", "voc")


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written, and one line for the user where something had to be left out (else empty)."""

    paths: tuple[Path, ...]
    notice: str = ""


def check_truth(truth: Path) -> None:
    """Raises UsageError for a COCO file that cannot be read: better before a long run than after it."""
    from jobs.detect.exports.coco_ids import load

    load(truth)


def export(
    format: str,
    run_dir: Path,
    spec: Spec,
    view: View,
    destination: Path | None = None,
    truth: Path | None = None,
) -> Exported:
    """Writes one format, atomically and with the same bytes for the same tables and view.

    `destination` is a file for coco, csv and jsonl (or a folder to put it in), a folder for yolo and voc; None is the
    run directory. `truth` is a COCO file whose ids the coco format takes over.
    Raises UsageError for a view that the tables cannot answer and for a destination that holds other files.
    """
    if format not in FORMATS:
        raise UsageError(f"--format {format} is not known; choose one of {', '.join(FORMATS)}")
    if truth is not None and format != "coco":
        raise UsageError(f"--truth gives ids to --format coco; {format} has none: leave it out")
    view.check(spec)
    from jobs.detect.exports.blocks import Source

    source = Source(run_dir, spec, view)
    target = _target(format, run_dir, destination)
    if format == "coco":
        from jobs.detect.exports import coco

        return coco.write(source, target, truth)
    return Exported(tuple(import_module(f"jobs.detect.exports.{format}").write(source, target)))


def check_destination(formats: Iterable[str], run_dir: Path, destination: Path | None) -> None:
    """Raises UsageError where one of several formats cannot be written there, before any is."""
    for format in formats:
        target = _target(format, run_dir, destination).absolute()
        folder = next(one for one in target.parents if os.path.lexists(one))
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            why = "cannot be written to" if folder.is_dir() else "is no folder"
            raise UsageError(f"--to {destination}: {folder} {why}; name another place, nothing was written")


def _target(format: str, run_dir: Path, destination: Path | None) -> Path:
    own = run_dir / DEFAULT_NAMES[format]
    if destination is None or destination == own:
        return own
    if format not in _FOLDERS:
        return destination / DEFAULT_NAMES[format] if destination.is_dir() else destination
    if destination.exists() and not (destination.is_dir() and not any(destination.iterdir())):
        raise UsageError(f"{destination} is there and not an empty folder; name a new one, nothing was written")
    return destination
