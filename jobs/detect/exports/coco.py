"""Blocks in; COCO results (a bare list) and the COCO dataset file they refer to out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from common.atomic_files import atomic_file
from jobs.detect.exports import DEFAULT_NAMES, Exported
from jobs.detect.exports.blocks import Block, Source, join, quoted, texts, utf8
from jobs.detect.exports.coco_ids import Ids, OwnIds, TruthIds

#: The dataset file's name beside the results' default name.
DATASET_NAME = "dataset.coco.json"


def write(source: Source, destination: Path, truth: Path | None) -> Exported:
    """Both files appear together. Raises UsageError for a truth that has nothing of this run."""
    ids: Ids = OwnIds(source.spec.labels) if truth is None else TruthIds(truth, source.spec.labels)
    dataset = dataset_path(destination)
    with atomic_file(destination) as results_file, atomic_file(dataset) as dataset_file:
        results, images = _JsonList(results_file), _JsonList(dataset_file)
        categories = json.dumps([{"id": number, "name": name} for number, name in ids.categories])
        dataset_file.write(f'{{"categories": {categories},\n"annotations": [],\n"images": '.encode())
        for block in source.blocks():
            image_ids = ids.image_ids(block.images)
            images.extend(_images(block, image_ids))
            results.extend(_results(block, image_ids, ids.category_ids))
        results.end()
        images.end()
        results_file.write(b"\n")
        dataset_file.write(b"}\n")
        notice = ids.notice()
    return Exported((destination, dataset), notice)


def dataset_path(results: Path) -> Path:
    """Where the dataset file stands for results of this name."""
    if results.name == DEFAULT_NAMES["coco"]:
        return results.with_name(DATASET_NAME)
    return results.with_name(f"{results.stem}.dataset{results.suffix or '.json'}")


def _images(block: Block, image_ids: npt.NDArray[np.int64]) -> pa.Array:
    """The images that were looked at: a failed one has no size, which COCO's readers need."""
    looked_at = np.flatnonzero(pc.equal(block.images["status"], "ok").to_numpy() & (image_ids >= 0))
    images = block.images.take(looked_at)
    return join(
        *(',\n{"id": ', texts(image_ids[looked_at]), ', "width": ', texts(images["width"])),
        *(', "height": ', texts(images["height"]), ', "file_name": '),
        pa.array([quoted(path) for path in images["path"].to_pylist()], pa.string()),
        "}",
    )


def _results(
    block: Block,
    image_ids: npt.NDArray[np.int64],
    category_ids: npt.NDArray[np.int64],
) -> pa.Array:
    images = image_ids[block.owners]
    categories = category_ids[block.detections["class_id"].to_numpy()]
    known = np.flatnonzero((images >= 0) & (categories >= 0))
    detections = block.detections.take(known)
    width = pc.subtract(detections["x2"], detections["x1"])
    height = pc.subtract(detections["y2"], detections["y1"])
    return join(
        *(',\n{"image_id": ', texts(images[known]), ', "category_id": ', texts(categories[known])),
        *(', "bbox": [', texts(detections["x1"]), ", ", texts(detections["y1"])),
        *(", ", texts(width), ", ", texts(height), '], "score": ', texts(detections["score"]), "}"),
    )


class _JsonList:
    """A JSON list that is written as it comes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._empty = True

    def extend(self, objects: pa.Array) -> None:
        """Adds objects that each begin with a comma and a new line."""
        text = utf8(objects)
        if text:
            self._file.write(b"[" if self._empty else b",")
            self._file.write(text[1:])
            self._empty = False

    def end(self) -> None:
        self._file.write(b"[]" if self._empty else b"\n]")
