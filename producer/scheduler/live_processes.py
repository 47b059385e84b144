"""Heartbeats in; who is there for this run, and what they were last at, out."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, cast

import redis
from celery import Celery
from kombu import Queue

from common.limits import HEARTBEAT_S, PROTOCOL
from common.protocol import heartbeats
from common.protocol.heartbeats import Beat
from common.protocol.messages import ShardId, task_queue

#: Seconds. A worker that lives says of a process that is gone what became of it, or is about to be missed itself.
_WORD_S = 2 * HEARTBEAT_S


@dataclass(frozen=True, slots=True)
class Connection:
    """The broker, as a client and as the Celery app that sends through it."""

    client: redis.Redis
    app: Celery


class Crew:
    """The processes that serve one queue, as of the last look."""

    def __init__(self, connection: Connection, queue: str, run: str, embedded: bool) -> None:
        #: The workers are this run's own, from their start.
        self._embedded = embedded
        self._connection = connection
        self._queue = queue
        self._run = run
        self.processes: list[Beat] = []
        #: The last heartbeat of each process, also of the dead, and when it was seen, by our clock.
        self._last: dict[str, tuple[Beat, float]] = {}
        #: Those that live.
        self._workers: set[str] = set()
        self._parents_cpu: dict[str, tuple[float, float]] = {}

    def look(self) -> None:
        beats = heartbeats.live_processes(self._connection.client, strike=True)
        # A worker of another version takes from other queues.
        beats = [beat for beat in beats if beat.v == PROTOCOL]
        self._workers = {beat.worker for beat in heartbeats.live_workers(self._connection.client, strike=True)}
        self.processes = [beat for beat in beats if self._queue in beat.queues]
        for beat in self.processes:
            self._last[beat.process] = (beat, time.monotonic())
            first, _ = self._parents_cpu.get(beat.worker, (0.0 if self._embedded else beat.parent_cpu_s, 0.0))
            self._parents_cpu[beat.worker] = (first, beat.parent_cpu_s)

    def at(self) -> dict[str, str | None]:
        """Each live process, and the shard of this run that it is at."""
        return {beat.process: beat.shard if beat.run == self._run else None for beat in self.processes}

    def undecided(self, process: str) -> bool:
        """Whether a process has just been missed, and its worker, which would know why, has not."""
        _, seen = self._last.get(process, (None, -_WORD_S))
        return self._worker_lives(process) and time.monotonic() - seen < _WORD_S

    def _worker_lives(self, process: str) -> bool:
        return process.rpartition("/")[0] in self._workers

    def last_item(self, process: str, shard: ShardId) -> int | None:
        """The item of the shard at which a process was by its last heartbeat, if it went down with its worker."""
        beat, _ = self._last.get(process, (None, 0.0))
        if beat is None or self._worker_lives(process):
            return None
        return beat.item if (beat.run, beat.shard) == (self._run, str(shard)) else None

    def done_at_hand(self) -> int:
        """Images of shards at hand that are looked at already; of two attempts at one, what the faster has done."""
        done: dict[str | None, int] = {}
        for beat in self.processes:
            if beat.run == self._run:
                done[beat.shard] = max(done.get(beat.shard, 0), beat.shard_done)
        return sum(done.values())

    def waiting(self) -> int:
        """Messages that wait in the queue, asked through kombu's own interface."""
        with self._connection.app.connection_for_read() as connection:
            queue = Queue(task_queue(self._queue), channel=connection.default_channel)
            return int(cast(Any, queue.queue_declare(passive=False)).message_count)

    def parents_cpu_s(self) -> float:
        """Seconds of CPU of the workers' parents: between their first and last heartbeats here, or from their start."""
        return sum(last - first for first, last in self._parents_cpu.values())
