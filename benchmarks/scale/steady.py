"""Looks at a run in, from one instant to another; what went in, came out, waited and was used meanwhile, out."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import redis

from benchmarks.scale.footprint import Shard
from benchmarks.scale.watching import Server, load
from common.broker.connect import PREFIX
from common.protocol.messages import queue_keys
from producer.rundir.journal import Frame
from producer.scheduler.window import Window as InFlight


@dataclass(frozen=True, slots=True)
class Step:
    """What is asked for. `whole` runs so many items to their end; else the steady state is looked at for `seconds`."""

    processes: int
    image_s: float
    detections: int
    per_worker: int
    seconds: float
    whole: int | None = None
    profile: Path | None = None

    @property
    def images_per_s(self) -> float:
        return self.processes / self.image_s

    @property
    def shard_s(self) -> float:
        """Seconds of work in a shard once the speed is known."""
        return InFlight.of(self.processes, self.image_s, seen=True).shard_s

    @property
    def settle_s(self) -> float:
        """Until all shards have their full length."""
        return 10 + 2.5 * self.shard_s

    @property
    def items(self) -> int:
        """So many that none of the ever smaller shards of a run's end is sent while the steady state is looked at."""
        if self.whole is not None:
            return self.whole
        tail_s = 4 * self.shard_s
        return int(self.images_per_s * (self.settle_s + self.seconds + tail_s + 2 * self.shard_s + 20))


@dataclass(frozen=True, slots=True)
class Usage:
    """Of one core, over the seconds that were looked at; bytes resident at their end."""

    share: float
    rss: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """Shards, at the worst look and in the mean."""

    most: int
    mean: float


@dataclass(frozen=True, slots=True)
class Measured:
    """One step. Instants in seconds, sizes in bytes."""

    step: Step
    seconds: float
    #: Committed, and on the owner's disk; and if every process were always at work.
    images_in_per_s: float
    images_out_per_s: float
    ideal_per_s: float
    shards_per_s: float
    #: From commit to the owner's disk: median, 99th percentile, longest.
    delay_s: tuple[float, float, float]
    used: dict[str, Usage]
    #: Messages in the queue; committed and not yet looked at; open in all.
    waiting: dict[str, Waiting]
    #: Of the broker: at the end, and at its worst so far.
    memory: int
    memory_peak: int
    clients: int
    commands_per_s: float
    bytes_in_per_s: float
    bytes_out_per_s: float
    #: By which the simulated processes were late: 99th percentile. Their slowness is not the owner's.
    late_s: float
    #: Commits that did not count.
    dropped: int
    message_bytes: int
    heartbeat_bytes: int
    shard_in_redis: dict[str, Shard]
    load_before: float
    load_after: float


@dataclass(slots=True)
class Window:
    """What is looked at, look by look."""

    shards: dict[str, Shard] = field(default_factory=dict)
    collected: list[tuple[Frame, float]] = field(default_factory=list)
    message_bytes: int = 0
    heartbeat_bytes: int = 0
    _lengths: list[tuple[int, int, int]] = field(default_factory=list)
    #: (UTC, the broker, seconds of CPU and bytes by name) at both ends.
    _ends: list[tuple[float, Server, dict[str, tuple[float, int]]]] = field(default_factory=list)

    def mark(self, server: Server, used: dict[str, tuple[float, int]]) -> None:
        """The beginning, then the end."""
        self._ends.append((time.time(), server, used))

    def note(self, client: redis.Redis, queue: str, run: str) -> None:
        pipe = client.pipeline(transaction=False)
        front, in_turn = queue_keys(queue)
        pipe.llen(in_turn)
        pipe.llen(front)
        pipe.llen(f"{PREFIX}done:{run}")
        pipe.zcard(f"{PREFIX}open:{run}")
        pipe.lrange(in_turn, 0, 0)
        waiting, ahead, done, open_, messages = pipe.execute()
        self._lengths.append((waiting + ahead, done, open_))
        self.message_bytes = max([self.message_bytes, *map(len, messages)])

    def measured(self, step: Step, swarms: list[dict[str, Any]], load_before: float) -> Measured:
        (begun, before, used_before), (ended, after, used_after) = self._ends
        seconds = ended - begun
        commits = [one for swarm in swarms for one in swarm["commits"]]
        at = {(first, count): instant for first, count, instant, status, _ in commits if status == "ok"}
        inside = [one for one in commits if begun <= one[2] < ended]
        out = [(frame, seen) for frame, seen in self.collected if begun <= seen < ended]
        delays = [seen - at[frame.shard.first, frame.shard.count] for frame, seen in out]
        late = [late for swarm in swarms for late in swarm["late_s"]]
        lengths = np.array(self._lengths or [(0, 0, 0)])
        waiting = {
            name: Waiting(int(column.max()), round(float(column.mean()), 1))
            for name, column in zip(("queue", "committed", "open"), lengths.T, strict=True)
        }
        return Measured(
            step=step,
            seconds=round(seconds, 2),
            images_in_per_s=round(sum(one[1] for one in inside) / seconds, 1),
            images_out_per_s=round(sum(frame.shard.count for frame, _ in out) / seconds, 1),
            ideal_per_s=round(step.images_per_s, 1),
            shards_per_s=round(len(out) / seconds, 1),
            delay_s=(percentile(delays, 50), percentile(delays, 99), percentile(delays, 100)),
            used={
                name: Usage(round((used_after[name][0] - used_before[name][0]) / seconds, 3), used_after[name][1])
                for name in used_before
            },
            waiting=waiting,
            memory=after.memory,
            memory_peak=after.memory_peak,
            clients=after.clients,
            commands_per_s=round((after.commands - before.commands) / seconds, 1),
            bytes_in_per_s=round((after.bytes_in - before.bytes_in) / seconds, 1),
            bytes_out_per_s=round((after.bytes_out - before.bytes_out) / seconds, 1),
            late_s=percentile(late, 99),
            dropped=sum(one[3] != "ok" for one in commits),
            message_bytes=self.message_bytes,
            heartbeat_bytes=self.heartbeat_bytes,
            shard_in_redis=self.shards,
            load_before=load_before,
            load_after=load(),
        )


def percentile(values: list[float], percent: float) -> float:
    """To a millisecond; NaN of nothing."""
    return round(float(np.percentile(values, percent)), 3) if values else math.nan
