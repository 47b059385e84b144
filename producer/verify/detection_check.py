"""detections.parquet and what is known of each item in; where a row or an item's sum disagrees out."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from jobs.detect.selection import View
from producer.verify.image_check import OK, ItemFacts
from producer.verify.receipt import Findings, Part

_BOX = ("x1", "y1", "x2", "y2")


class DetectionCheck:
    """Row by row: of items that are ok, in order, adding up to what images.parquet says of each."""

    def __init__(self, facts: ItemFacts, view: View, findings: Findings) -> None:
        self._facts = facts
        self._view = view
        self._findings = findings
        self._met = np.zeros(facts.items, np.bool_)
        self._last = -1
        self._held: pa.Table | None = None

    def take(self, table: pa.Table) -> None:
        """The next row group. Its last image is held back: another's row groups may cut an image in two."""
        if self._held is not None:
            table = pa.concat_tables([self._held, table])
        if table.num_rows:
            items = table["item"].to_numpy()
            start = int(np.flatnonzero(items == items[-1])[0]) if items[0] != items[-1] else 0
            self._whole(table.slice(0, start))
            table = table.slice(start)
        self._held = table

    def finish(self) -> None:
        """After the last row group."""
        if self._held is not None:
            self._whole(self._held)
        facts = self._facts
        silent = ~self._met & ((facts.shown != 0) | ~np.isnan(facts.best) | (facts.boxes != 0))
        for item in np.flatnonzero(silent).tolist():
            whose = "images.parquet" if facts.shown[item] or not np.isnan(facts.best[item]) else "the journal"
            self._differs(f"item {item} has no detection here, in {whose} it has")

    def _differs(self, text: str) -> None:
        self._findings.add(Part.DETECTIONS, text)

    def _whole(self, table: pa.Table) -> None:
        """All detections of some images."""
        if not table.num_rows:
            return
        columns = {name: table[name].to_numpy() for name in ("item", "score", "class_id", *_BOX)}
        items = columns["item"]
        self._check_order(columns)
        self._last = int(items[-1])
        starts = np.flatnonzero(np.r_[True, items[1:] != items[:-1]])
        owners = items[starts]
        known = (owners >= 0) & (owners < self._facts.items)
        for item in owners[~known].tolist():
            self._differs(f"item {item} is not in the manifest")
        shown = np.add.reduceat(self._view.keep(items, columns["class_id"], columns["score"]).astype(np.int64), starts)
        best = np.maximum.reduceat(columns["score"], starts)
        self._compare(owners[known], shown[known], best[known], _crcs(columns, starts)[known])

    def _check_order(self, columns: dict[str, npt.NDArray[Any]]) -> None:
        keys = [columns["item"], -columns["score"], *(columns[name] for name in ("class_id", *_BOX))]
        after = np.zeros(len(keys[0]), np.bool_)
        after[0] = keys[0][0] <= self._last
        tied = np.ones(len(keys[0]) - 1, np.bool_)
        for key in keys:
            after[1:] |= tied & (key[1:] < key[:-1])
            tied &= key[1:] == key[:-1]
        for item in np.unique(columns["item"][after]).tolist():
            self._differs(f"item {item} has rows out of order")

    def _compare(
        self,
        items: npt.NDArray[np.int64],
        shown: npt.NDArray[np.int64],
        best: npt.NDArray[np.float32],
        boxes: npt.NDArray[np.uint32],
    ) -> None:
        facts = self._facts
        self._met[items] = True
        for item in items[facts.status[items] != OK].tolist():
            self._differs(f"item {item} has detections, and is not ok in images.parquet")
        for at in np.flatnonzero(facts.shown[items] != shown).tolist():
            item = items[at]
            self._differs(f"item {item} has {shown[at]} detections to show, images.parquet says {facts.shown[item]}")
        for at in np.flatnonzero(facts.best[items] != best).tolist():
            item = items[at]
            self._differs(f"item {item} has the best score {best[at]:g}, images.parquet says {facts.best[item]:g}")
        for item in items[facts.recorded[items] & (facts.boxes[items] != boxes)].tolist():
            self._differs(f"item {item} has other boxes than in the journal")


def _crcs(columns: dict[str, npt.NDArray[Any]], starts: npt.NDArray[np.intp]) -> npt.NDArray[np.uint32]:
    """For each image the CRC-32 of its detections' bits, as ImageCheck takes it of the journal's."""
    names = (("class_id", "<i4"), ("score", "<f4"), *((name, "<f4") for name in _BOX))
    numbers = np.stack([np.ascontiguousarray(columns[name], kind).view("<u4") for name, kind in names], axis=1)
    ends = [*starts[1:].tolist(), len(numbers)]
    return np.array([zlib.crc32(numbers[a:b].tobytes()) for a, b in zip(starts.tolist(), ends, strict=True)], np.uint32)
