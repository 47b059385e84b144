"""`timings.parquet` and what the owner saw in; `timings.json` and the table that ends a run out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from common import atomic_files
from common.datasets import passed_over
from common.stage_histogram import STAGES
from jobs.detect.tables.parquet import TIMINGS_FILE, open_table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from producer.results.assemble import Outcome

TIMINGS_JSON = "timings.json"

#: Of `timings.json`; it grows when a figure changes its name, unit or meaning.
TIMINGS_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class ProcessFacts:
    """What one pool process did for this run while this owner held it. Seconds."""

    worker: str
    process: int
    images: int
    busy_s: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What only the owner knows, of its own time: after a resume, the earlier owner's part is not in it. Seconds."""

    #: The whole command, to the moment the outputs begin.
    wall_s: float = 0.0
    #: From the first shard's start to the last result, and the images of that time.
    span_s: float = 0.0
    images: int = 0
    #: From the command's start until shards could be sent, and until the first result was on disk.
    startup_s: float = 0.0
    first_result_s: float | None = None
    #: One a shard: from sending to its claim.
    queue_waits_s: tuple[float, ...] = ()
    processes: tuple[ProcessFacts, ...] = ()
    producer_cpu_s: float = 0.0
    broker_cpu_s: float = 0.0
    worker_parent_cpu_s: float = 0.0
    #: Shards sent again, by the evidence that made it necessary.
    sent_again: Mapping[str, int] = field(default_factory=dict)

    @property
    def images_per_s(self) -> float:
        return self.images / self.span_s if self.span_s else 0.0

    @property
    def busy_s(self) -> float:
        return sum(process.busy_s for process in self.processes)

    @property
    def parallel_efficiency(self) -> float | None:
        """Busy time over the time that the processes had: 1 if each worked from first start to last end."""
        offered = len(self.processes) * self.span_s
        return self.busy_s / offered if offered else None


@dataclass(frozen=True, slots=True)
class Stage:
    """Percentiles over all images, milliseconds; share of the processes' busy time, 0..1."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    share: float | None


def write_timings(run_dir: Path, facts: RunFacts) -> None:
    """Writes `timings.json`: the stages from `timings.parquet`, all else from the facts."""
    stages = stage_figures(run_dir, facts)
    shares = [stage.share for stage in stages.values() if stage.share is not None]
    waits = facts.queue_waits_s
    cpu = {
        "producer": _rounded(facts.producer_cpu_s),
        "broker": _rounded(facts.broker_cpu_s),
        "worker_parents": _rounded(facts.worker_parent_cpu_s),
        "processes": _rounded(sum(process.cpu_s for process in facts.processes)),
    }
    figures = {
        "schema": TIMINGS_SCHEMA,
        "images": facts.images,
        "wall_s": _rounded(facts.wall_s),
        "span_s": _rounded(facts.span_s),
        "images_per_s": _rounded(facts.images_per_s),
        "startup_s": _rounded(facts.startup_s),
        "first_result_s": _rounded(facts.first_result_s),
        "queue_wait_s": {
            "shards": len(waits),
            "p50": _rounded(_percentile(waits, 50)),
            "p95": _rounded(_percentile(waits, 95)),
        },
        "stages": {
            name: {
                "p50_ms": _rounded(stage.p50_ms),
                "p95_ms": _rounded(stage.p95_ms),
                "p99_ms": _rounded(stage.p99_ms),
                "share": _rounded(stage.share),
            }
            for name, stage in stages.items()
        },
        "sent_again": dict(sorted(facts.sent_again.items())),
        # Claims, commits and waiting for the store: what is busy and not one of the stages.
        "other_share": _rounded(max(0.0, 1 - sum(shares))) if shares else None,
        "parallel_efficiency": _rounded(facts.parallel_efficiency),
        "processes": [
            {
                "worker": process.worker,
                "process": process.process,
                "images": process.images,
                "busy_s": _rounded(process.busy_s),
                "cpu_s": _rounded(process.cpu_s),
            }
            for process in facts.processes
        ],
        "cpu_s": cpu,
        "cpu_s_per_1000_images": {name: _rounded(1000 * (value or 0.0) / facts.images) for name, value in cpu.items()}
        if facts.images
        else None,
    }
    atomic_files.write_json(run_dir / TIMINGS_JSON, figures)


def stage_figures(run_dir: Path, facts: RunFacts) -> dict[str, Stage]:
    """By stage. Empty before the first image is done.

    The share is of the mean image's busy time, so that it holds where the facts cover a part of the run only.
    """
    figures: dict[str, Stage] = {}
    with open_table(run_dir / TIMINGS_FILE) as file:
        if file.metadata.num_rows == 0:
            return figures
        for name in STAGES:
            # One column at a time: 4 bytes an image.
            seconds = file.read(columns=[f"{name}_s"], use_threads=False).column(0).to_numpy()
            p50, p95, p99 = (float(value) * 1e3 for value in np.percentile(seconds, (50, 95, 99)))
            figures[name] = Stage(p50, p95, p99, float(seconds.mean(dtype=np.float64)))
    means = sum(stage.share or 0.0 for stage in figures.values())
    # After a resume the table has more images than the facts: theirs may have been slower.
    busy = max(means, facts.busy_s / facts.images if facts.images else 0.0)
    return {
        name: replace(stage, share=(stage.share or 0.0) / busy if busy else None) for name, stage in figures.items()
    }


def summary_table(outcome: Outcome) -> RenderableType:
    """What ends a run on the terminal: how it went, where its time went, and where everything is."""
    import json

    from rich.table import Table
    from rich.text import Text

    figures = json.loads((Path(outcome.run_dir) / TIMINGS_JSON).read_text())
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    lines = [
        ("run", f"{outcome.run_id}, {outcome.state}"),
        ("images", _images(outcome)),
        *([("failed", _failed(outcome))] if outcome.failed else []),
        *([("deep", _deep(outcome))] if outcome.deep else []),
        *([("passed over", passed)] if (passed := passed_over.words(outcome.passed_over)) else []),
        ("detections", f"{outcome.detections:,}" + ": no image gave one, even at the floor" * outcome.empty),
        ("speed", _speed(outcome, figures)),
        *([("time", _stages(figures))] if figures["other_share"] is not None else []),
        ("outputs", _outputs(Path(outcome.run_dir))),
    ]
    for name, value in lines:
        table.add_row(name, Text(value))
    return table


def _images(outcome: Outcome) -> str:
    parts = [f"{outcome.items:,}: {outcome.ok:,} ok", f"{outcome.failed:,} failed"]
    return ", ".join(parts + ([f"{outcome.pending:,} pending"] if outcome.pending else []))


def _failed(outcome: Outcome) -> str:
    return ", ".join(f"{count:,} {code}" for code, count in sorted(outcome.errors.items(), key=lambda e: (-e[1], e[0])))


def _deep(outcome: Outcome) -> str:
    some = f"{outcome.deep:,} image{'s' * (outcome.deep != 1)} of more than 8 bits a channel"
    if outcome.scale is not None:
        return f"{some}: mapped to 0..255 by --scale {outcome.scale}"
    return (
        f"{some}: the whole range of their type was mapped to 0..255; if they look dark, use --scale MIN:MAX "
        "or --scale 2%:98%"
    )


def _speed(outcome: Outcome, figures: dict[str, Any]) -> str:
    count, efficiency = len(figures["processes"]), figures["parallel_efficiency"]
    parts = [f"{outcome.images_per_s:,.1f} images/s", f"{outcome.seconds:,.1f} s in all"]
    # Of a run that was resumed, shards may have begun before this owner's span.
    if efficiency is not None and efficiency <= 1:
        parts.append(f"{count} process{'es' * (count != 1)} busy {efficiency:.0%} of the time")
    return ", ".join(parts)


def _stages(figures: dict[str, Any]) -> str:
    shares = {name: stage["share"] for name, stage in figures["stages"].items()}
    shares["other"] = figures["other_share"]
    return ", ".join(f"{name} {share:.0%}" for name, share in shares.items())


def _outputs(run_dir: Path) -> str:
    """The run directory, then what a person may open in it."""
    names = sorted(path.name for path in run_dir.iterdir() if path.suffix in _SHOWN or path.name in ("yolo", "voc"))
    return "\n".join([f"{run_dir}/", "  ".join(name for name in names if name not in ("progress.json", "lease.json"))])


_SHOWN = (".parquet", ".json", ".jsonl", ".csv", ".jpg")


def _percentile(values: tuple[float, ...], percent: float) -> float | None:
    return float(np.percentile(values, percent)) if values else None


def _rounded(value: float | None) -> float | None:
    """To microseconds, or a millionth: the rest is noise."""
    return None if value is None else round(value, 6)
