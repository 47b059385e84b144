"""images.parquet, the manifest and the journal in; where a row disagrees, and what the rows add up to, out."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from common.errors import ItemCode, ManyeyesError
from common.protocol.messages import DETECTION_DTYPE, ItemRecord, ShardResult
from jobs.detect.tables.schema import path_text, status
from producer.rundir.journal import Journal
from producer.rundir.manifest import Manifest
from producer.verify.receipt import Findings, Part

#: `bytes` is a column too.
_Bytes = bytes
_CODES = {code.value for code in ItemCode}
#: What an item's status is kept as while the other tables are read; 0: no row has been met.
_STATUS = {"ok": 1, "failed": 2, "pending": 3}
OK, PENDING = _STATUS["ok"], _STATUS["pending"]


class ItemFacts:
    """What images.parquet and the journal say of each item, 14 bytes an item."""

    def __init__(self, items: int) -> None:
        self.items = items
        self.status = np.zeros(items, np.uint8)
        self.shown = np.zeros(items, np.int32)
        #: NaN: no score.
        self.best = np.full(items, np.nan, np.float32)
        #: Whether the journal's record was found, and CRC-32 over its class, score and box of each detection.
        self.recorded = np.zeros(items, np.bool_)
        self.boxes = np.zeros(items, np.uint32)


@dataclass(frozen=True, slots=True)
class ImageRow:
    """A row of images.parquet, but for the words of its error."""

    item: int
    path: str
    path_bytes: _Bytes | None
    bytes: int | None
    content_sha256: str | None
    width: int | None
    height: int | None
    exif_orientation: int | None
    status: str
    error_code: str | None
    detections: int
    max_score: float | None

    @property
    def name(self) -> str:
        return f"item {self.item} ({self.path})"

    @property
    def raw_path(self) -> _Bytes:
        return self.path.encode() if self.path_bytes is None else self.path_bytes


def image_rows(table: pa.Table) -> Iterator[ImageRow]:
    columns = [table[name].to_pylist() for name in ImageRow.__slots__]
    return (ImageRow(*values) for values in zip(*columns, strict=True))


@dataclass(frozen=True, slots=True)
class _Looked:
    """What the journal has of one item."""

    item: int
    record: ItemRecord
    boxes: int


class ImageCheck:
    """Row by row: each item once, in order, as the manifest names it and as the journal has it."""

    def __init__(self, items: int, manifest: Manifest | None, journal: Journal | None, findings: Findings) -> None:
        self.facts = ItemFacts(items)
        self.statuses: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.shown = 0
        self._manifest = manifest
        self._findings = findings
        self._next = 0
        self._journal = None if journal is None else _looked(journal)
        self._looked = self._advance()

    def take(self, table: pa.Table) -> None:
        """The next row group."""
        for row in image_rows(table):
            self.statuses[row.status] += 1
            self.shown += row.detections
            if row.error_code is not None:
                self.errors[row.error_code] += 1
            self._row(row)

    def finish(self) -> None:
        """After the last row."""
        missing = np.flatnonzero(self.facts.status == 0)
        for stretch in np.split(missing, np.flatnonzero(np.diff(missing) > 1) + 1):
            if len(stretch) == 1:
                self._differs(f"item {stretch[0]} is missing")
            elif len(stretch):
                self._differs(f"items {stretch[0]} to {stretch[-1]} are missing")

    def _differs(self, text: str) -> None:
        self._findings.add(Part.IMAGES, text)

    def _row(self, row: ImageRow) -> None:
        if not 0 <= row.item < self.facts.items:
            self._differs(f"{row.name} is not in the manifest")
            return
        if self.facts.status[row.item]:
            self._differs(f"{row.name} is there more than once")
            return
        # An unknown status is told of below; the row is there all the same.
        self.facts.status[row.item] = _STATUS.get(row.status, PENDING)
        self.facts.shown[row.item] = row.detections
        if row.max_score is not None:
            self.facts.best[row.item] = row.max_score
        self._check_path(row)
        self._check_status(row)
        if row.item < self._next:
            self._differs(f"{row.name} is out of order")
            return
        self._next = row.item + 1
        self._check_journal(row)

    def _check_path(self, row: ImageRow) -> None:
        if self._manifest is None:
            return
        [path] = self._manifest.read(row.item, 1)
        text = path_text(path)
        if row.path != text or row.path_bytes != (None if text.encode() == path else path):
            self._differs(f"{row.name} is {text} in the manifest")

    def _check_status(self, row: ImageRow) -> None:
        match row.status:
            case "ok" | "pending":
                possible = row.error_code is None
            case "failed":
                possible = row.error_code in _CODES
            case _:
                possible = False
        if not possible:
            self._differs(f"{row.name} is {row.status} with the error code {row.error_code or 'null'}")

    def _check_journal(self, row: ImageRow) -> None:
        while self._looked is not None and self._looked.item < row.item:
            self._looked = self._advance()
        if self._journal is None:
            return
        if self._looked is None or self._looked.item != row.item:
            if row.status != "pending":
                self._findings.add(Part.JOURNAL, f"{row.name} is {row.status} in images.parquet and has no result here")
            return
        record = self._looked.record
        self.facts.recorded[row.item], self.facts.boxes[row.item] = True, self._looked.boxes
        wrong = [name for name in _RECORDED if getattr(row, name) != getattr(record, name)]
        if row.status != status(record):
            wrong.append("status")
        if wrong:
            self._differs(f"{row.name}: {', '.join(wrong)} not as in the journal")

    def _advance(self) -> _Looked | None:
        if self._journal is None:
            return None
        try:
            return next(self._journal, None)
        except (ManyeyesError, OSError) as error:
            self._findings.add(Part.JOURNAL, str(error))
            self._journal = None
            return None


_RECORDED = ("bytes", "content_sha256", "width", "height", "exif_orientation", "error_code")


def _looked(journal: Journal) -> Iterator[_Looked]:
    for result in journal.results():
        bounds = np.searchsorted(result.detections["row"], np.arange(result.shard.count + 1)).tolist()
        numbers = _numbers(result)
        for row, record in enumerate(result.records):
            boxes = zlib.crc32(numbers[bounds[row] : bounds[row + 1]].tobytes())
            yield _Looked(result.shard.first + row, record, boxes)


def _numbers(result: ShardResult) -> npt.NDArray[np.uint32]:
    """Class, score and box of each detection as bits: (n, 6)."""
    return np.ascontiguousarray(result.detections.view("<u4").reshape(-1, DETECTION_DTYPE.itemsize // 4)[:, 1:])
