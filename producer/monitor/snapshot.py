"""What is seen of a run at one time: how far it is, what its owner says, and who works for it."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

from common.protocol.ledger import RunState
from producer.monitor.run_list import RunLine
from producer.monitor.workers import AtWork
from producer.rundir.progress import Progress
from producer.scheduler.run_stats import Figures


@dataclass(frozen=True, slots=True)
class WorkerSeen:
    """One worker that serves the run's detector."""

    host: str
    worker: str
    #: Processes that there should be, and that live: 0 of one that is gone.
    processes: int
    alive: int
    #: For whatever run.
    images_per_s: float
    ms_per_image: float | None
    at: tuple[AtWork, ...]
    last_seen_s: float


@dataclass(frozen=True, slots=True)
class Look:
    """What is seen of a run at one time."""

    line: RunLine
    #: None before the owner's first word.
    progress: Progress | None
    #: None where no broker is known, or it knows nothing of the run.
    figures: Figures | None
    workers: tuple[WorkerSeen, ...]
    #: Seconds since the broker last answered.
    away_s: float = 0.0

    @property
    def over(self) -> bool:
        return self.line.state not in (RunState.SUBMITTING, RunState.RUNNING, RunState.PAUSED)

    def to_json(self) -> dict[str, Any]:
        """What `producer status --json` says, what else the owner says, and the workers."""
        said = {} if self.figures is None else asdict(self.figures)
        extra = ("failed_by", "attempts", "sent_again_by", "splits", "oldest_open_s", "last_progress")
        return {
            "at": round(time.time(), 3),
            **self.line.to_json(),
            "open_shards": self.progress.open_shards if self.progress else 0,
            **{name: said[name] for name in extra if name in said},
            "workers": [asdict(worker) for worker in self.workers],
            "broker_away_s": self.away_s,
        }
