"""A block of item rows in, its three Arrow tables out; and the tables' schemas."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from common.protocol.messages import DETECTION_DTYPE, DetectionArray, ItemRecord
from common.protocol.spec import Spec
from common.stage_histogram import STAGES
from jobs.detect.selection import View

if TYPE_CHECKING:
    from jobs.detect.tables.parquet import ItemRow

#: Version of the three tables. It grows when a column changes its name, type or meaning.
SCHEMA_VERSION = 1

_STAGES = tuple(f"{stage}_s" for stage in STAGES)
_BOX = ("x1", "y1", "x2", "y2")


def _schema(table: str, columns: dict[str, pa.DataType], nullable: tuple[str, ...] = ()) -> pa.Schema:
    fields = [pa.field(name, kind, nullable=name in nullable) for name, kind in columns.items()]
    return pa.schema(fields, {"manyeyes.table": table, "manyeyes.schema": str(SCHEMA_VERSION)})


IMAGES = _schema(
    "images",
    {
        "item": pa.int64(),
        "path": pa.string(),
        "path_bytes": pa.binary(),
        "bytes": pa.int64(),
        "content_sha256": pa.string(),
        "width": pa.int32(),
        "height": pa.int32(),
        "exif_orientation": pa.int8(),
        "status": pa.string(),
        "error_code": pa.string(),
        "error": pa.string(),
        "detections": pa.int32(),
        "max_score": pa.float32(),
    },
    nullable=(
        *("path_bytes", "bytes", "content_sha256", "width", "height", "exif_orientation"),
        *("error_code", "error", "max_score"),
    ),
)
DETECTIONS = _schema(
    "detections",
    {
        "item": pa.int64(),
        "path": pa.string(),
        "label": pa.string(),
        "class_id": pa.int32(),
        "score": pa.float32(),
        **dict.fromkeys(_BOX, pa.float32()),
    },
)
TIMINGS = _schema(
    "timings",
    {
        "item": pa.int64(),
        "shard": pa.string(),
        "attempt": pa.int32(),
        "worker": pa.string(),
        "process": pa.int64(),
        "started": pa.timestamp("us", tz="UTC"),
        **dict.fromkeys(_STAGES, pa.float32()),
    },
)
#: Columns with few different values in a row group. The others cost memory and gain nothing as dictionaries.
DICTIONARY_COLUMNS = ["path", "status", "error_code", "error", "label", "class_id", "shard", "worker", "process"]

_PENDING = ItemRecord()


def path_text(path: bytes) -> str:
    """The path as a table shows it: UTF-8, with undecodable bytes backslash-escaped."""
    return path.decode("utf-8", "backslashreplace")


def build(rows: list[ItemRow], spec: Spec) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Images, detections and timings of these rows. Detections are stored from the floor up, unfiltered."""
    paths = pa.array([path_text(row.path) for row in rows], pa.string())
    counts = np.array([len(row.detections) for row in rows], np.int64)
    # Joined as bytes: numpy would settle the fields' common types anew for every row.
    detections = np.frombuffer(b"".join([row.detections.tobytes() for row in rows]), DETECTION_DTYPE)
    owners = np.repeat(np.arange(len(rows)), counts)
    return (
        _images(rows, paths, _counts(detections, owners, len(rows), View.of(spec)), _best(detections, counts)),
        _detections(detections, rows, owners, paths, spec),
        _timings([row for row in rows if row.record is not None]),
    )


def _images(rows: list[ItemRow], paths: pa.Array, detections: npt.NDArray[np.int64], best: pa.Array) -> pa.Table:
    records = [row.record or _PENDING for row in rows]
    columns = {
        "item": [row.item for row in rows],
        "path": paths,
        "path_bytes": [None if _decodes(row.path) else row.path for row in rows],
        "bytes": [record.bytes for record in records],
        "content_sha256": [record.content_sha256 for record in records],
        "width": [record.width for record in records],
        "height": [record.height for record in records],
        "exif_orientation": [record.exif_orientation for record in records],
        "status": [status(row.record) for row in rows],
        "error_code": [None if record.error_code is None else record.error_code.value for record in records],
        "error": [record.error for record in records],
        "detections": detections,
        "max_score": best,
    }
    return pa.table([pa.array(columns[field.name], field.type) for field in IMAGES], schema=IMAGES)


def _detections(
    detections: DetectionArray, rows: list[ItemRow], owners: npt.NDArray[np.int64], paths: pa.Array, spec: Spec
) -> pa.Table:
    items = np.array([row.item for row in rows], np.int64)
    columns = {
        "item": items[owners],
        "path": paths.take(pa.array(owners)),
        "label": pa.array(spec.labels, pa.string()).take(pa.array(detections["class_id"])),
        **{name: np.ascontiguousarray(detections[name]) for name in ("class_id", "score", *_BOX)},
    }
    return pa.table([pa.array(columns[field.name], field.type) for field in DETECTIONS], schema=DETECTIONS)


def _timings(rows: list[ItemRow]) -> pa.Table:
    timings = [row.record.timing for row in rows if row.record is not None]
    started = np.array([timing.started for timing in timings], np.float64)
    columns = {
        "item": [row.item for row in rows],
        "shard": [row.shard for row in rows],
        "attempt": [row.attempt for row in rows],
        "worker": [row.worker for row in rows],
        "process": [row.process for row in rows],
        "started": np.rint(started * 1e6).astype(np.int64),
        **{stage: [getattr(timing, stage) for timing in timings] for stage in _STAGES},
    }
    return pa.table([pa.array(columns[field.name], field.type) for field in TIMINGS], schema=TIMINGS)


def _counts(detections: DetectionArray, owners: npt.NDArray[np.int64], rows: int, view: View) -> npt.NDArray[np.int64]:
    keep = view.keep(owners, detections["class_id"], detections["score"])
    return np.bincount(owners[keep], minlength=rows)


def _best(detections: DetectionArray, counts: npt.NDArray[np.int64]) -> pa.Array:
    """The highest score of each row, null where it has none."""
    best = np.zeros(len(counts), np.float32)
    filled = counts > 0
    if filled.any():
        best[filled] = np.maximum.reduceat(detections["score"], (np.cumsum(counts) - counts)[filled])
    return pa.array(best, pa.float32(), mask=~filled)


def status(record: ItemRecord | None) -> str:
    """`pending`, `ok` or `failed`."""
    if record is None:
        return "pending"
    return "ok" if record.ok else "failed"


def _decodes(path: bytes) -> bool:
    try:
        path.decode()
    except UnicodeDecodeError:
        return False
    return True
