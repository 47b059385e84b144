"""Runs, by their directories or their owners' last words, in; a line for each, or a table of them, out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from common import logs
from common.errors import UsageError
from common.limits import DEFAULT_PRIORITY, HEARTBEAT_LIFE_S
from common.protocol.ledger import RunState
from producer.rundir.run_directory import RunDir

if TYPE_CHECKING:
    from producer.scheduler.run_stats import Figures


@dataclass(frozen=True, slots=True)
class RunLine:
    """A run in a list: what its directory says."""

    run_id: str
    run_dir: str
    name: str | None
    #: The state on disk; `interrupted` where a run is not finished and has no owner.
    state: str
    detector: str
    priority: int
    items: int | None
    done: int
    failed: int
    detections: int | None
    images_per_s: float | None
    eta_s: float | None
    processes: int
    digest: str | None
    #: Where the owner and `run_dir` are, of a run of another machine.
    host: str | None = None
    #: Seconds for which a living owner has said nothing, where that is long; then its speed and ETA say nothing either.
    silent_s: float | None = None

    @classmethod
    def of(cls, rundir: RunDir) -> RunLine:
        data, state = rundir.read(), rundir.state()
        counts, progress = data.get("counts"), rundir.progress()
        live = not state.finished and rundir.has_owner()
        silent_s = rundir.silence_s() if live else 0.0
        # Whoever has all images says nothing while the outputs are written.
        silent = silent_s > HEARTBEAT_LIFE_S and progress.get("done") != progress.get("items")
        return cls(
            run_id=rundir.run,
            run_dir=str(rundir.path),
            name=data.get("name"),
            state=_shown(rundir, state, live),
            detector=data["spec"]["detector"],
            priority=data.get("priority", DEFAULT_PRIORITY),
            items=counts["items"] if counts else progress.get("items"),
            done=counts["ok"] + counts["failed"] if counts else progress.get("done" if live else "stored", 0),
            failed=counts["failed"] if counts else progress.get("failed", 0),
            detections=counts["detections"] if counts else None,
            images_per_s=None if silent else data.get("images_per_s", progress.get("images_per_s")),
            eta_s=progress.get("eta_s") if live and not silent and state is not RunState.PAUSED else None,
            processes=progress.get("processes", 0) if live else 0,
            digest=data.get("digest"),
            silent_s=round(silent_s, 1) if silent else None,
        )

    @classmethod
    def from_afar(cls, figures: Figures, now: float, run_dir: str) -> RunLine:
        """By its owner's last words. `now` is Redis TIME."""
        progress, state = figures.progress, figures.state(now)
        live = state == progress.state and not RunState(progress.state).finished
        return cls(
            run_id=figures.run,
            run_dir=run_dir or figures.run,
            name=figures.name or None,
            state=state,
            detector=figures.detector,
            priority=figures.priority,
            items=progress.items,
            done=progress.stored if state == "interrupted" else progress.done,
            failed=progress.failed,
            detections=None,
            images_per_s=progress.images_per_s,
            eta_s=progress.eta_s if live and state != RunState.PAUSED else None,
            processes=progress.processes if live else 0,
            digest=None,
            host=figures.host,
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def sentence(self) -> str:
        from producer.cli.progress_bar import duration

        total = "?" if self.items is None else f"{self.items:,}"
        parts = [f"{self.run_id}: {self.state}", f"{self.done:,}/{total} images", f"{self.failed:,} failed"]
        if self.images_per_s is not None:
            parts.append(f"{self.images_per_s:.1f} images/s")
        if self.eta_s is not None:
            parts.append(f"ETA {duration(self.eta_s)}")
        if self.silent_s is not None:
            parts.append(f"nothing new for {duration(self.silent_s)}: its producer waits for the broker, or hangs")
        if self.detections is not None:
            parts.append(f"{self.detections:,} detections")
        hints = {"interrupted": "resume", "stopped": "resume", "paused": "unpause", "cancelling": "cancel"}
        if verb := hints.get(self.state):
            where = "to go on" if self.host is None else f"to go on, on {self.host}"
            if self.host and self.state == "interrupted":
                where = f"its owner on {self.host} is gone; to go on there"
            parts[-1] += f"; {where}:  {RunDir(Path(self.run_dir)).command(verb)}"
        return logs.printable(", ".join(parts))


def _shown(rundir: RunDir, state: RunState, live: bool) -> str:
    if state.finished or live:
        return state
    return "cancelling" if rundir.cancel_asked() else "interrupted"


def run_lines(rundirs: list[RunDir]) -> tuple[list[RunLine], list[str]]:
    """Those that can be read, and a line for each that cannot: one broken directory hides no other run."""
    lines, unreadable = [], []
    for rundir in rundirs:
        try:
            lines.append(RunLine.of(rundir))
        except (UsageError, OSError) as error:
            unreadable.append(f"passed over: {error}")
    return lines, unreadable


def runs_table(lines: list[RunLine]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("run", "state", "detector"):
        table.add_column(column, no_wrap=True)
    for column in ("images", "failed", "detections", "images/s"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("name")
    for line in lines:
        total = "?" if line.items is None else f"{line.items:,}"
        table.add_row(
            line.run_id,
            line.state,
            line.detector,
            total if line.done == line.items else f"{line.done:,}/{total}",
            f"{line.failed:,}",
            "" if line.detections is None else f"{line.detections:,}",
            "" if line.images_per_s is None else f"{line.images_per_s:.1f}",
            line.name or "",
        )
    return table
