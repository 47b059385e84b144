"""A run's tables, what they were made from, and its run.json in; what the tables add up to, and what differs, out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from common.errors import ManyeyesError
from common.protocol.spec import Spec
from jobs.detect.selection import View
from jobs.detect.tables.digest import TableDigest
from jobs.detect.tables.parquet import open_table
from jobs.detect.tables.schema import DETECTIONS, IMAGES, TIMINGS
from producer.rundir.journal import Journal
from producer.rundir.manifest import Manifest
from producer.verify.detection_check import DetectionCheck
from producer.verify.image_check import PENDING, ImageCheck, ItemFacts
from producer.verify.receipt import Findings, Part

_SCHEMAS = {Part.IMAGES: IMAGES, Part.DETECTIONS: DETECTIONS, Part.TIMINGS: TIMINGS}


@dataclass(frozen=True, slots=True)
class Sources:
    """What the tables were made from; None where it cannot be read."""

    spec: Spec
    manifest: Manifest | None
    journal: Journal | None


@dataclass(frozen=True, slots=True)
class Totals:
    """What the tables add up to; nothing where images.parquet cannot be read. `digest` is None without detections."""

    items: int = 0
    ok: int = 0
    failed: int = 0
    pending: int = 0
    detections: int = 0
    errors: tuple[tuple[str, int], ...] = ()
    digest: str | None = None


def check_tables(folder: Path, data: dict[str, Any], sources: Sources, findings: Findings) -> Totals:
    """Against manifest and journal, against each other, and against the counts and the digest of run.json (`data`)."""
    digest = TableDigest()
    images = _check_images(folder, sources, digest, findings)
    if images is None:
        # Nothing to hold the others against; but whether they can be read can be said.
        for part in (Part.DETECTIONS, Part.TIMINGS):
            _read(folder, part, lambda table: None, findings)
        return Totals()
    whole = _check_detections(folder, images.facts, View.of(sources.spec), digest, findings)
    _check_timings(folder, images.facts, findings)
    totals = Totals(
        items=images.statuses.total(),
        ok=images.statuses["ok"],
        failed=images.statuses["failed"],
        pending=images.statuses["pending"],
        detections=images.shown,
        errors=tuple(sorted(images.errors.items())),
        digest=digest.hexdigest() if whole else None,
    )
    _check_run(data, totals, findings)
    return totals


def _check_images(folder: Path, sources: Sources, digest: TableDigest, findings: Findings) -> ImageCheck | None:
    items = _rows(folder, Part.IMAGES) if sources.manifest is None else sources.manifest.items
    check = ImageCheck(items, sources.manifest, sources.journal, findings)

    def take(table: pa.Table) -> None:
        digest.update("images", table)
        check.take(table)

    if not _read(folder, Part.IMAGES, take, findings):
        return None
    check.finish()
    return check


def _check_detections(folder: Path, facts: ItemFacts, view: View, digest: TableDigest, findings: Findings) -> bool:
    """Whether the table could be read to its end."""
    check = DetectionCheck(facts, view, findings)

    def take(table: pa.Table) -> None:
        digest.update("detections", table)
        check.take(table)

    whole = _read(folder, Part.DETECTIONS, take, findings)
    if whole:
        check.finish()
    return whole


def _check_timings(folder: Path, facts: ItemFacts, findings: Findings) -> None:
    """A row, in order, for each item that was looked at. The figures are measurements, which nothing can confirm."""
    timed = np.zeros(facts.items, np.bool_)
    last = -1

    def take(table: pa.Table) -> None:
        nonlocal last
        items = np.r_[last, table["item"].to_numpy()]
        for item in items[1:][np.diff(items) <= 0].tolist():
            findings.add(Part.TIMINGS, f"item {item} is there more than once, or out of order")
        known = items[1:][(items[1:] >= 0) & (items[1:] < facts.items)]
        timed[known] = True
        last = int(items[-1])

    if _read(folder, Part.TIMINGS, take, findings):
        looked_at = (facts.status != 0) & (facts.status != PENDING)
        for item in np.flatnonzero(looked_at & ~timed).tolist():
            findings.add(Part.TIMINGS, f"item {item} is missing")
        for item in np.flatnonzero(timed & ~looked_at).tolist():
            findings.add(Part.TIMINGS, f"item {item} was not looked at, by images.parquet")


def _check_run(data: dict[str, Any], totals: Totals, findings: Findings) -> None:
    counts = data.get("counts")
    if not isinstance(counts, dict):
        findings.add(Part.RUN, "it has no counts")
        counts = {}
    for name in ("items", "ok", "failed", "pending", "detections"):
        if name in counts and counts[name] != getattr(totals, name):
            findings.add(Part.RUN, f"it counts {name} {counts[name]}, images.parquet has {getattr(totals, name)}")
    if counts and counts.get("errors") != dict(totals.errors):
        findings.add(Part.RUN, f"it counts errors {counts.get('errors')}, images.parquet has {dict(totals.errors)}")
    if totals.digest is not None and totals.digest != data.get("digest"):
        findings.add(Part.RUN, f"it says the tables' digest is {data.get('digest')}, they have {totals.digest}")


def _rows(folder: Path, part: Part) -> int:
    """0 where it cannot be read: whoever reads it will say so."""
    try:
        with open_table(folder / part) as file:
            return int(file.metadata.num_rows)
    except ManyeyesError:
        return 0


def _read(folder: Path, part: Part, take: Callable[[pa.Table], None], findings: Findings) -> bool:
    """Gives `take` one row group after the other; whether all could be read."""
    groups = _groups(folder / part, _SCHEMAS[part])
    while True:
        try:
            table = next(groups, None)
        except (ManyeyesError, pa.ArrowException, OSError) as error:
            findings.add(part, str(error))
            return False
        if table is None:
            return True
        take(table)


def _groups(path: Path, schema: pa.Schema) -> Iterator[pa.Table]:
    """Row groups that hold what their columns say. Raises ManyeyesError, ArrowException, OSError."""
    with open_table(path) as file:
        columns = [(field.name, field.type) for field in file.schema_arrow]
        if columns != [(field.name, field.type) for field in schema]:
            raise ManyeyesError(f"{path} has other columns than its schema version says")
        for number in range(file.num_row_groups):
            table = file.read_row_group(number, use_threads=False)
            # Also that text is UTF-8: what damage leaves need not be.
            table.validate(full=True)
            for field in schema:
                if not field.nullable and table[field.name].null_count:
                    raise ManyeyesError(f"{path} lacks values in its column {field.name}")
            yield table
