"""Heartbeats in; who is there, what each serves, how fast, and what it works on, as a list and a table, out."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from statistics import mean
from typing import Any

import redis
from rich.markup import escape
from rich.table import Table

from common.broker.replies import check_takes_writes
from common.protocol import heartbeats
from common.protocol.heartbeats import Beat, WorkerBeat
from common.protocol.messages import ShardId


@dataclass(frozen=True, slots=True)
class Serving:
    """A detector of one worker. The speed is that of one of its processes; None before any has loaded it."""

    queue: str
    ms_per_image: float | None


@dataclass(frozen=True, slots=True)
class AtWork:
    """A process and its shard."""

    process: str
    run: str
    shard: str
    images: int
    done: int


@dataclass(frozen=True, slots=True)
class WorkerLine:
    """One worker, by its last heartbeat."""

    worker: str
    host: str
    pid: int
    #: How many processes there should be, and how many live.
    processes: int
    alive: int
    detectors: tuple[Serving, ...]
    at: tuple[AtWork, ...]
    #: That its living processes have begun.
    images: int
    #: Instants, UTC. The last image: None before the first.
    started: str
    last_image: str | None
    #: Seconds since, and None likewise.
    up_s: float
    last_image_s: float | None
    #: Seconds since its last heartbeat.
    last_seen_s: float = 0.0

    @classmethod
    def of(cls, beat: WorkerBeat, processes: list[Beat], now: float, last_seen_s: float) -> WorkerLine:
        last = max([process.last_image for process in processes], default=0.0)
        return cls(
            worker=beat.worker,
            host=beat.host,
            pid=beat.pid,
            processes=beat.processes,
            alive=beat.alive,
            detectors=tuple(Serving(queue, _speed(queue, processes)) for queue in beat.queues),
            at=tuple(_at(process) for process in processes if process.run and process.shard),
            images=sum(process.images for process in processes),
            started=_instant(beat.started),
            last_image=_instant(last) if last else None,
            up_s=_since(beat.started, now),
            last_image_s=_since(last, now) if last else None,
            last_seen_s=last_seen_s,
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def lines(client: redis.Redis) -> list[WorkerLine]:
    """All live workers, by host and name."""
    processes, now = heartbeats.live_processes(client), time.time()
    crews: dict[str, list[Beat]] = {}
    for one in processes:
        crews.setdefault(one.worker, []).append(one)
    beats = heartbeats.live_workers(client)
    found = [
        WorkerLine.of(beat, crews.get(beat.worker, []), now, silence)
        for beat, silence in zip(beats, heartbeats.worker_silence(client, beats), strict=True)
    ]
    return sorted(found, key=lambda line: (line.host, line.worker))


def found(client: redis.Redis) -> list[WorkerLine]:
    """The same. Raises NotNow where nobody is seen because nobody can say there that they live."""
    there = lines(client)
    if not there:
        check_takes_writes(client)
    return there


def table(found: list[WorkerLine]) -> Table:
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("worker", "processes", "serves"):
        shown.add_column(column, no_wrap=True)
    shown.add_column("ms/image", justify="right", no_wrap=True)
    shown.add_column("works on", no_wrap=True)
    for column in ("images", "up", "last image"):
        shown.add_column(column, justify="right", no_wrap=True)
    for line in found:
        # Brackets in a name are no markup.
        shown.add_row(
            escape(line.worker),
            f"{line.alive}/{line.processes}",
            escape("\n".join(serving.queue for serving in line.detectors)),
            "\n".join("?" if one.ms_per_image is None else f"{one.ms_per_image:.1f}" for one in line.detectors),
            escape("\n".join(f"{at.run} {at.shard}, {at.done}/{at.images} images" for at in line.at)) or "idle",
            f"{line.images:,}",
            _span(line.up_s),
            "never" if line.last_image_s is None else f"{_span(line.last_image_s)} ago",
        )
    return shown


def _at(process: Beat) -> AtWork:
    assert process.run and process.shard
    return AtWork(process.process, process.run, process.shard, ShardId.parse(process.shard).count, process.shard_done)


def _speed(queue: str, processes: list[Beat]) -> float | None:
    known = [speed.ms_per_image for process in processes for speed in process.speeds if speed.queue == queue]
    return round(mean(known), 3) if known else None


def _since(instant: float, now: float) -> float:
    """Its clock may be ahead of ours."""
    return round(max(0.0, now - instant), 1)


def _instant(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _span(seconds: float) -> str:
    """1.2 days, 3.4 h, 5 min or 12 s."""
    for unit, name in ((86400, "days"), (3600, "h")):
        if seconds >= unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
