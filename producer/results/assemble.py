"""A run's journal in, its tables, exports, picture and timing figures out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from common import typed_json
from common.errors import ManyeyesError
from common.protocol.detector_info import DetectorInfo
from common.protocol.ledger import RunState
from common.protocol.messages import ShardResult
from common.protocol.spec import Spec
from jobs.detect.exports import DEFAULT_FORMATS, export
from jobs.detect.reports import preview
from jobs.detect.selection import View
from jobs.detect.tables import parquet
from jobs.detect.tables.parquet import ItemRow
from producer.results.timings import TIMINGS_JSON, RunFacts, write_timings
from producer.rundir.journal import Journal
from producer.rundir.manifest import Manifest
from producer.rundir.run_directory import RunDir
from producer.scheduler import emptiness


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: what `--json` prints."""

    run_id: str
    run_dir: str
    state: str
    items: int
    ok: int
    failed: int
    pending: int
    detections: int
    errors: dict[str, int]
    seconds: float
    images_per_s: float
    digest: str
    #: Images of more than 8 bits a channel, and the `--scale` by which they were mapped; None: their whole range was.
    deep: int = 0
    scale: str | None = None
    #: What the user should know of the exports, a line each.
    notices: tuple[str, ...] = ()
    #: Formats that could not be written; `results` tries again.
    missing: tuple[str, ...] = ()
    #: Where the outputs were copied to; None where they should not be, or could not.
    published: str | None = None
    #: What the listing passed over, by kind: `listing` of `run.json`. Empty before the listing has ended.
    passed_over: dict[str, Any] = field(default_factory=dict)
    #: Why they could not.
    unpublished: str | None = None
    #: Images were looked at, and not one gave a box, down to the floor.
    empty: bool = False

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Outputs:
    """What to write beside the tables."""

    formats: tuple[str, ...] = DEFAULT_FORMATS
    truth: str | None = None

    @classmethod
    def of(cls, data: dict[str, Any]) -> Outputs:
        """What `run.json` says that the user asked for."""
        return cls(tuple(data["outputs"]["formats"]), data["outputs"]["truth"])


def rows(manifest: Manifest, journal: Journal) -> Iterator[ItemRow]:
    """Every item of the manifest exactly once, in order; those without a result are pending."""
    nothing = ShardResult.no_detections()
    items = enumerate(manifest)
    expected = 0
    for result in journal.results():
        while expected < result.shard.first:
            item, path = next(items)
            yield ItemRow(item, path, None, nothing)
            expected += 1
        bounds = np.searchsorted(result.detections["row"], np.arange(result.shard.count + 1)).tolist()
        shard = str(result.shard)
        for row, record in enumerate(result.records):
            item, path = next(items)
            yield ItemRow(
                item=item,
                path=path,
                record=record,
                detections=result.detections[bounds[row] : bounds[row + 1]],
                shard=shard,
                attempt=result.attempt,
                worker=result.worker,
                process=result.process,
            )
            expected += 1
    for item, path in items:
        yield ItemRow(item, path, None, nothing)


def assemble(
    rundir: RunDir,
    spec: Spec,
    data: tuple[Manifest, Journal],
    facts: RunFacts | None,
    state: RunState,
    outputs: Outputs,
) -> Outcome:
    """Write everything, `run.json` with its final state last: the marker by which a run is known to be whole.

    Without facts the run has ended before, and its figures stay what they were.
    """
    folder, begun, known = rundir.path, time.monotonic(), rundir.read()
    summary = parquet.write_tables(rows(*data), spec, folder)
    notices, missing = [], []
    for name in outputs.formats:
        truth = Path(outputs.truth) if outputs.truth and name == "coco" else None
        try:
            notices.append(export(name, folder, spec, View.of(spec), truth=truth).notice)
        except ManyeyesError as error:
            # The run itself is done, and its tables are there: what cannot be written must not undo that.
            missing.append(name)
            notices.append(f"error: {name} was not written: {error}")
    preview.write_preview(folder, spec, spec.root.encode(errors="surrogateescape"), folder / "preview.jpg")
    empty = summary.ok > 0 and summary.stored == 0
    if empty:
        detector = typed_json.read(DetectorInfo, known["detector"], spare=True)
        notices.append(emptiness.warning(summary.ok, spec.floor, detector))
    if facts is not None:
        write_timings(folder, facts)
    elif not (folder / TIMINGS_JSON).exists():
        write_timings(folder, RunFacts())
    outcome = Outcome(
        run_id=rundir.run,
        run_dir=str(folder),
        state=state,
        items=summary.items,
        ok=summary.ok,
        failed=summary.failed,
        pending=summary.pending,
        detections=summary.detections,
        errors=summary.errors,
        seconds=round(facts.wall_s + time.monotonic() - begun, 3) if facts else known["seconds"],
        images_per_s=round(facts.images_per_s, 3) if facts else known["images_per_s"],
        digest=summary.digest,
        deep=summary.deep,
        scale=spec.scale,
        notices=tuple(filter(None, notices)),
        missing=tuple(missing),
        empty=empty,
        passed_over={name: count for name, count in known.get("listing", {}).items() if name != "items"},
    )
    rundir.write(
        {
            **known,
            "state": state,
            "finished": time.time() if facts else known["finished"],
            "counts": {
                "items": summary.items,
                "ok": summary.ok,
                "failed": summary.failed,
                "pending": summary.pending,
                "detections": summary.detections,
                "errors": summary.errors,
                "deep": summary.deep,
            },
            "empty": empty,
            "seconds": outcome.seconds,
            "images_per_s": outcome.images_per_s,
            "digest": summary.digest,
        }
    )
    return outcome
