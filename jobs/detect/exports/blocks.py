"""A run's tables and a view in; blocks of images with the detections the view shows out, in bounded memory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from common.errors import ManyeyesError
from common.protocol.spec import Spec
from jobs.detect.selection import View
from jobs.detect.tables.parquet import read_detections, read_images

_IMAGE_COLUMNS = ["item", "path", "path_bytes", "width", "height", "status", "error_code"]


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Some consecutive images (rows of `images.parquet`) and their detections (rows of `detections.parquet`)."""

    images: pa.Table
    detections: pa.Table
    #: (detections,) int64: the place of each detection's image in `images`, ascending.
    owners: npt.NDArray[np.int64]

    @property
    def bounds(self) -> list[int]:
        """Image i has the detections from bounds[i] to bounds[i + 1]."""
        bounds: list[int] = np.searchsorted(self.owners, np.arange(self.images.num_rows + 1)).tolist()
        return bounds

    @property
    def raw_paths(self) -> list[bytes]:
        """Each image's path as the file system has it."""
        pairs = zip(self.images["path"].to_pylist(), self.images["path_bytes"].to_pylist(), strict=True)
        return [text.encode() if raw is None else raw for text, raw in pairs]


@dataclass(frozen=True, slots=True)
class Source:
    """What an export reads."""

    run_dir: Path
    spec: Spec
    view: View

    def blocks(self) -> Iterator[Block]:
        """All images in item order. Raises ManyeyesError where the two tables do not fit each other."""
        groups = read_detections(self.run_dir)
        group = next(groups, None)
        for images in read_images(self.run_dir, _IMAGE_COLUMNS):
            items = images["item"].to_numpy()
            detections = None
            if group is not None and group["item"][0].as_py() <= items[-1]:
                detections, group = group, next(groups, None)
            yield self._block(images, items, detections)
        if group is not None:
            raise ManyeyesError(f"{self.run_dir} has detections without images; `producer resume` writes it again")

    def images(self, columns: list[str]) -> Iterator[pa.Table]:
        """The images alone."""
        return read_images(self.run_dir, columns)

    def _block(self, images: pa.Table, items: npt.NDArray[np.int64], detections: pa.Table | None) -> Block:
        if detections is None:
            from jobs.detect.tables.schema import DETECTIONS

            return Block(images, DETECTIONS.empty_table(), np.empty(0, np.int64))
        owners = detections["item"].to_numpy()
        if owners[0] < items[0] or owners[-1] > items[-1]:
            raise ManyeyesError(f"{self.run_dir} has tables of two runs; `producer resume` writes them again")
        keep = self.view.keep(owners, detections["class_id"].to_numpy(), detections["score"].to_numpy())
        return Block(images, detections.filter(pa.array(keep)), owners[keep] - items[0])


def texts(values: pa.ChunkedArray | npt.NDArray[np.generic]) -> pa.Array:
    """Numbers as text: the shortest that reads back as the same float32, valid in JSON and CSV."""
    array = pa.array(values) if isinstance(values, np.ndarray) else values.combine_chunks()
    return array.cast(pa.string())


def take(values: Iterable[str], places: npt.NDArray[np.generic]) -> pa.Array:
    """values[place] for each place, as text."""
    return pa.array(list(values), pa.string()).take(pa.array(places))


def join(*parts: pa.Array | str) -> pa.Array:
    """Row by row, the parts one after another; a plain text is in every row."""
    columns = [pa.scalar(part) if isinstance(part, str) else part for part in parts]
    return pc.binary_join_element_wise(*columns, "")


def utf8(rows: pa.Array) -> memoryview:
    """All rows, one after another, as they lie in memory: no Python string is made of millions of them."""
    _, offsets, data = rows.buffers()
    if data is None or len(rows) == 0:
        return memoryview(b"")
    ends = np.frombuffer(offsets, np.int32)
    return memoryview(data)[int(ends[rows.offset]) : int(ends[rows.offset + len(rows)])]


def quoted(text: str) -> str:
    """A JSON string in ASCII, which no reader can split in the wrong place."""
    return json.dumps(text)
