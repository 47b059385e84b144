"""A plan in; processes that speak to a broker as real ones do, and look at nothing, until TERM; what they did out.

`python -m benchmarks.scale.swarm PLAN.json`. One thread and one loop: what is due next, and who was sent a message.
Ledger, heartbeats and results are the real code's; how kombu takes and acknowledges a message is in `transport.py`.
"""

from __future__ import annotations

import heapq
import json
import random
import selectors
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from types import FrameType

from benchmarks.scale import nothing
from benchmarks.scale.simulated import Process
from benchmarks.scale.transport import Delivery, Poll
from common.broker.connect import client
from common.limits import HEARTBEAT_S
from common.protocol import heartbeats
from common.protocol.heartbeats import WorkerBeat
from common.protocol.messages import task_queue

#: Seconds between Celery's own heartbeats.
_CELERY_BEAT_S = 2.0


@dataclass(frozen=True, slots=True)
class Plan:
    url: str
    #: Workers `first` to `first + workers`, each of `processes` pool processes.
    first: int
    workers: int
    processes: int
    image_s: float
    detections: int
    #: Where to write what was done.
    out: str


@dataclass(frozen=True, slots=True)
class Commit:
    """A shard that was committed, as `ok` or not, at this UTC instant."""

    first: int
    count: int
    at: float
    status: str
    bytes: int


class Worker:
    """One worker: who takes messages for its processes, and acknowledges them when they are done."""

    def __init__(self, number: int, plan: Plan, loop: Loop) -> None:
        self.name = f"simulated@host{number:04d}"
        self._loop = loop
        self._client = client(plan.url)
        self._poll = Poll(plan.url, task_queue(nothing.info().queue), self.name)
        self._idle = [Process(f"{self.name}/{1000 + n}", self.name, plan) for n in range(plan.processes)]
        self._all = tuple(self._idle)
        loop.listen(self._poll.fileno(), self._receive)
        for process in self._all:
            loop.every(HEARTBEAT_S, process.beat)
        loop.every(HEARTBEAT_S, self._beat)
        loop.every(_CELERY_BEAT_S, self._poll.beat)
        self._poll.ask()

    def _beat(self) -> None:
        """The worker's parent lives too."""
        alive = len(self._all)
        beat = WorkerBeat(self.name, self.name, 1, (nothing.info().queue,), alive, alive, started=self._loop.begun)
        heartbeats.worker_beat(self._client, beat)

    def _receive(self) -> None:
        delivery = self._poll.read()
        if delivery is not None:
            self._begin(self._idle.pop(), delivery)
        if self._idle:
            self._poll.ask()

    def _begin(self, process: Process, delivery: Delivery) -> None:
        seconds = process.claim(delivery.message)
        if seconds is None:
            self._free(process, delivery)
        else:
            self._loop.after(seconds, lambda: self._commit(process, delivery))

    def _commit(self, process: Process, delivery: Delivery) -> None:
        shard = delivery.message.shard
        status, size = process.commit(delivery.message)
        self._loop.commits.append(Commit(shard.first, shard.count, time.time(), status, size))
        self._free(process, delivery)

    def _free(self, process: Process, delivery: Delivery) -> None:
        self._poll.acknowledge(delivery)
        self._idle.append(process)
        if not self._poll.asked:
            self._poll.ask()


class Loop:
    """What is due when. One action at a time: how late they are is part of what is reported."""

    def __init__(self) -> None:
        self.begun = time.time()
        self.commits: list[Commit] = []
        self.late_s: list[float] = []
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers: Iterator[int] = count()
        self._selector = selectors.DefaultSelector()
        self._ended = False

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._due, (time.monotonic() + seconds, next(self._numbers), action))

    def every(self, seconds: float, action: Callable[[], None]) -> None:
        """From a random instant on: a thousand processes do not beat as one."""

        def again() -> None:
            self.after(seconds, again)
            action()

        self.after(random.random() * seconds, again)

    def listen(self, handle: int, action: Callable[[], None]) -> None:
        self._selector.register(handle, selectors.EVENT_READ, action)

    def end(self, number: int, frame: FrameType | None) -> None:
        self._ended = True

    def run(self) -> None:
        while not self._ended:
            while self._due and (late := time.monotonic() - self._due[0][0]) >= 0 and not self._ended:
                self.late_s.append(late)
                heapq.heappop(self._due)[2]()
                self._hear(0)
            self._hear(max(0.0, self._due[0][0] - time.monotonic()))

    def _hear(self, wait_s: float) -> None:
        for key, _ in self._selector.select(wait_s):
            key.data()


def main() -> None:
    plan = Plan(**json.loads(Path(sys.argv[1]).read_text()))
    random.seed(plan.first)
    loop = Loop()
    signal.signal(signal.SIGTERM, loop.end)
    for number in range(plan.first, plan.first + plan.workers):
        Worker(number, plan, loop)
    loop.run()
    done = {"commits": [list(asdict(one).values()) for one in loop.commits], "late_s": loop.late_s}
    Path(plan.out).write_text(json.dumps(done))


if __name__ == "__main__":
    main()
