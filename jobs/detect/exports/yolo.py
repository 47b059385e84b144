"""Blocks in; YOLO text files out: `class cx cy w h conf`, normalised, in `labels/`, and `classes.txt`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from common.atomic_files import atomic_folder
from jobs.detect.exports.blocks import Block, Source
from jobs.detect.exports.folder_tree import check_stems, write_beside


def write(source: Source, destination: Path) -> list[Path]:
    """An empty file for an image with nothing in it, none for a failed one. Raises UsageError for equal stems."""
    check_stems(source)
    with atomic_folder(destination) as folder:
        # Apart from labels/, where an image named classes.jpg would take its place.
        (folder / "classes.txt").write_text("".join(f"{label}\n" for label in source.spec.labels), "utf-8")
        (folder / "labels").mkdir()
        for block in source.blocks():
            lines, bounds = _lines(block), block.bounds
            for number, (path, status) in enumerate(zip(block.raw_paths, block.images["status"], strict=True)):
                if status.as_py() == "ok":
                    text = "".join(lines[bounds[number] : bounds[number + 1]])
                    write_beside(folder / "labels", path, ".txt", text.encode("ascii"))
    return [destination]


def _lines(block: Block) -> list[str]:
    detections = block.detections
    x1, y1, x2, y2 = (detections[name].to_numpy().astype(np.float64) for name in ("x1", "y1", "x2", "y2"))
    width, height = (
        block.images[name].fill_null(1).to_numpy().astype(np.float64)[block.owners] for name in ("width", "height")
    )
    rows = zip(
        detections["class_id"].to_pylist(),
        ((x1 + x2) / 2 / width).tolist(),
        ((y1 + y2) / 2 / height).tolist(),
        ((x2 - x1) / width).tolist(),
        ((y2 - y1) / height).tolist(),
        detections["score"].to_pylist(),
        strict=True,
    )
    return [f"{number} {cx:.6f} {cy:.6f} {w:.6f} {h:.6f} {score:.6f}\n" for number, cx, cy, w, h, score in rows]
