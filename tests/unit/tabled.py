"""A few item rows in, a run directory with its tables out: what the tests of tables and exports start from."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from common.errors import ItemCode
from common.protocol.messages import DETECTION_DTYPE, DetectionArray, ItemRecord, ItemTiming
from common.protocol.spec import Spec
from jobs.detect.tables.parquet import ItemRow, TablesSummary, write_tables

LABELS = ("person", 'a "quoted", label', "cat")

#: class, score, x1, y1, x2, y2.
Detection = tuple[int, float, float, float, float, float]


def spec(**changes: object) -> Spec:
    fields: dict[str, object] = {
        "datasets": ("/data",),
        "root": "/data",
        "detector": "toy",
        "detector_digest": "0" * 64,
        "queue": "toy-00000000",
        "labels": LABELS,
        "conf": 0.3,
        "iou": 0.5,
        "floor": 0.01,
        **changes,
    }
    return Spec(**fields)  # type: ignore[arg-type]


def found(*detections: Detection) -> DetectionArray:
    array = np.zeros(len(detections), DETECTION_DTYPE)
    for number, detection in enumerate(detections):
        array[number] = (0, *detection)
    return array


def ok(item: int, path: bytes, *detections: Detection, size: tuple[int, int] = (640, 480)) -> ItemRow:
    timing = ItemTiming(1_700_000_000.5 + item, 0.001, 0.002, 0.003, 0.004 * (item + 1), 0.005)
    record = ItemRecord(1000 + item, f"{item:064x}", *size, exif_orientation=1, timing=timing)
    return ItemRow(item, path, record, found(*detections), "0:0+9", 1, "host", 100 + item % 2)


def failed(item: int, path: bytes, code: ItemCode = ItemCode.TRUNCATED, text: str = "cut short") -> ItemRow:
    # A file that is cut short has a size all the same: from its header.
    record = ItemRecord(bytes=7, width=640, height=480, error_code=code, error=text)
    return ItemRow(item, path, record, found(), "0:0+9", 1, "host", 100)


def pending(item: int, path: bytes) -> ItemRow:
    return ItemRow(item, path, None, found())


def many(count: int, boxes: int, seed: int = 0) -> list[ItemRow]:
    """Images with 0 to `boxes` detections each, in the tables' order."""
    chance = np.random.default_rng(seed)
    rows = []
    for item in range(count):
        n = int(chance.integers(0, boxes + 1))
        scores = np.sort(chance.uniform(0.01, 1, n))[::-1]
        corners = chance.uniform(0, 300, (n, 2))
        detections = [
            (int(chance.integers(3)), s, x, y, x + 20, y + 9) for s, (x, y) in zip(scores, corners, strict=True)
        ]
        rows.append(ok(item, b"d/%06d.jpg" % item, *detections))
    return rows


def run(folder: Path, rows: Iterable[ItemRow], **changes: object) -> TablesSummary:
    folder.mkdir(parents=True, exist_ok=True)
    return write_tables(rows, spec(**changes), folder)
