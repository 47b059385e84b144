"""The recorder in; dead, hung and bloated pool processes reported, or killed and reported, out.

Two threads of the worker's parent: one watches, whatever native code does in a pool process; the other tells the
broker, however long that one takes to answer.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from collections import deque
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil
import redis

from common import __version__, logs
from common.limits import HEARTBEAT_S, WATCH_S
from common.protocol import heartbeats
from common.protocol.heartbeats import WorkerBeat
from common.protocol.ledger import Fate, Ledger
from common.protocol.messages import ShardId
from worker.intake.rejection_counter import Refusals
from worker.pool.local_health import Beacon
from worker.pool.outage import Outage
from worker.pool.shared_state import Entry, Recorder

log = logging.getLogger("manyeyes.worker")

#: Seconds that count at most between two looks: a worker that was frozen did not watch in between.
_MOST_S = 4 * WATCH_S
#: Looks over which a process that the kernel killed for want of memory may take to be gone: two seconds.
_OOM_LOOKS = 8
#: Where the kernel counts the processes that it killed for want of memory: in this container, and in all.
_OOM_COUNTS = (Path("/sys/fs/cgroup/memory.events"), Path("/proc/vmstat"))


@dataclass(slots=True)
class _Seen:
    """What was seen of one pool process, over several looks."""

    entry: Entry
    #: Seconds at this image, or since the last one.
    seconds: float = 0.0
    #: Why it was killed, if it was.
    fate: Fate | None = None


@dataclass(frozen=True, slots=True)
class _Death:
    """What is still to be told to the broker."""

    process: str
    entry: Entry
    fate: Fate


@dataclass(frozen=True, slots=True)
class Post:
    """What the warden watches over, and under which name."""

    worker: str
    processes: int
    #: Bytes of resident memory that one process may have; 0: no bound.
    memory_limit: int
    queues: tuple[str, ...]
    started: float = field(default_factory=time.time)


class Warden(threading.Thread):
    """Looks four times a second."""

    def __init__(self, client: redis.Redis, recorder: Recorder, post: Post, refusals: Refusals, beacon: Beacon) -> None:
        super().__init__(name="warden", daemon=True)
        self._beacon = beacon
        self._herald = _Herald(client, post.worker, refusals)
        self._recorder = recorder
        self._post = post
        self._seen: dict[int, _Seen] = {}
        self._short_since: float | None = None
        self._oom_kills = deque([_oom_kills()], maxlen=_OOM_LOOKS)
        self._ended = threading.Event()

    def run(self) -> None:
        self._herald.start()
        self._beacon.start()
        before = time.monotonic()
        while not self._ended.wait(WATCH_S):
            now = time.monotonic()
            try:
                self._look(min(now - before, _MOST_S))
                self._herald.beat = beat = self._beat()
                self._beacon.look(beat)
            except Exception:
                # Without it nobody would see what hangs or dies: it goes on, and says so.
                log.exception("the warden could not look")
            before = now

    def end(self) -> None:
        self._ended.set()
        self.join(timeout=2 * WATCH_S)
        self._herald.end()

    def _look(self, seconds: float) -> None:
        self._oom_kills.append(_oom_kills())
        entries = self._recorder.entries()
        for slot, entry in entries.items():
            seen = self._seen.get(slot)
            if seen is None or seen.entry.step != entry.step:
                fate = seen.fate if seen and seen.entry.pid == entry.pid else None
                seen = self._seen[slot] = _Seen(entry, fate=fate)
            else:
                seen.seconds += seconds
            if not _alive(entry.pid):
                # Read it again: it may have gone on between the first look and its death.
                self._bury(slot, self._recorder.entry(slot), seen.fate)
            elif seen.fate is None:
                self._judge(seen)
        self._seen = {slot: seen for slot, seen in self._seen.items() if slot in entries}

    def _judge(self, seen: _Seen) -> None:
        """Kill a process whose image takes too long, or that has grown too large."""
        entry = seen.entry
        if entry.item is not None and 0 < entry.image_timeout < seen.seconds:
            seen.fate = Fate.TIMEOUT
            text = "item %d takes over %g s: its process is killed"
            log.error(text, entry.item, entry.image_timeout, extra=_about(entry))
        elif self._post.memory_limit and _resident(entry.pid) > self._post.memory_limit:
            seen.fate = Fate.OUT_OF_MEMORY
            limit = self._post.memory_limit >> 20
            log.error("process %d holds over %d MB: it is killed", entry.pid, limit, extra=_about(entry))
        else:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(entry.pid, signal.SIGKILL)

    def _bury(self, slot: int, entry: Entry, fate: Fate | None) -> None:
        if entry.told_to_end or self._recorder.ending:
            # No image is to blame; nor where a worker that ends has killed what did not end with it.
            fate, entry = Fate.HANDED_BACK, replace(entry, item=None)
        elif fate is None:
            fate = Fate.OUT_OF_MEMORY if self._oom_kills[-1] > self._oom_kills[0] else Fate.CRASHED
        if fate is Fate.HANDED_BACK:
            log.info("process %d has ended with the worker", entry.pid, extra=_about(entry))
        else:
            at = "" if entry.item is None else f" at item {entry.item}"
            log.error("process %d has died%s: %s", entry.pid, at, fate, extra=_about(entry))
        self._herald.deaths.append(_Death(f"{self._post.worker}/{entry.pid}", entry, fate))
        self._recorder.free(slot)
        self._seen.pop(slot, None)

    def _beat(self) -> WorkerBeat:
        if len(self._seen) >= self._post.processes:
            self._short_since = None
        elif self._short_since is None:
            self._short_since = time.monotonic()
        at_image = [seen for seen in self._seen.values() if seen.entry.item is not None]
        bounded = [seen for seen in at_image if seen.entry.image_timeout]
        # Between images of a shard it waits for a network: that is work.
        at_work = any(seen.entry.shard for seen in self._seen.values())
        idle = [seen.seconds for seen in self._seen.values()]
        return WorkerBeat(
            worker=self._post.worker,
            host=os.uname().nodename,
            pid=os.getpid(),
            queues=self._post.queues,
            processes=self._post.processes,
            alive=len(self._seen),
            started=self._post.started,
            short_s=0.0 if self._short_since is None else time.monotonic() - self._short_since,
            overdue_s=max([0.0, *(seen.seconds - seen.entry.image_timeout for seen in bounded)]),
            idle_s=min(idle) if idle and not at_work else 0.0,
            version=__version__,
        )


class _Herald(threading.Thread):
    """Tells the broker who has died, what was refused, and that the worker lives; one that is gone, when it is back."""

    def __init__(self, client: redis.Redis, worker: str, refusals: Refusals) -> None:
        super().__init__(name="herald", daemon=True)
        self._client = client
        self._worker = worker
        self._refusals = refusals
        self._ended = threading.Event()
        self._outage = Outage(log, "the worker's heartbeat")
        self._met = False
        #: Still to be told, in order.
        self.deaths: deque[_Death] = deque()
        #: What was last seen of the worker.
        self.beat: WorkerBeat | None = None

    def run(self) -> None:
        next_beat, pause_s = 0.0, WATCH_S
        while not self._ended.wait(pause_s):
            pause_s = WATCH_S
            try:
                self._tell()
                if self.beat is not None and time.monotonic() >= next_beat:
                    next_beat = time.monotonic() + HEARTBEAT_S
                    self._meet(heartbeats.worker_beat(self._client, self.beat))
                    self._refusals.tell(self._client)
                    self._outage.worked()
            except redis.RedisError as error:
                pause_s = max(WATCH_S, self._outage.failed(error))
            except Exception:
                log.exception("the herald could not tell the broker")

    def _meet(self, other: WorkerBeat | None) -> None:
        if other is not None and not self._met:
            self._met = True
            log.warning(
                "another worker is called %s too (host %s, pid %d): the list shows one of them, and who dies is missed "
                "late; give each another name, or none: without -n it has one of its own",
                *(self._worker, other.host, other.pid),
            )

    def _tell(self) -> None:
        while self.deaths:
            death = self.deaths[0]
            entry = death.entry
            if entry.shard:
                ledger = Ledger(self._client, entry.run)
                ledger.report(ShardId.parse(entry.shard), entry.attempt, death.process, death.fate, entry.item)
            heartbeats.leave(self._client, death.process)
            self.deaths.popleft()

    def end(self) -> None:
        self._ended.set()
        self.join(timeout=2 * WATCH_S)
        if self.is_alive():
            return  # It waits for a broker that does not answer: no second one need.
        try:
            self._tell()
            self._refusals.tell(self._client)
            heartbeats.worker_leave(self._client, self._worker)
        except redis.RedisError:
            log.debug("could not say goodbye")


def _about(entry: Entry) -> dict[str, logs.About]:
    """Its lines are about a pool process, and the shard that this one has."""
    return logs.about(
        run=entry.run or None, shard=entry.shard or None, attempt=entry.attempt or None, process=entry.pid
    )


def _alive(pid: int) -> bool:
    """A dead process that the pool has not reaped yet is dead."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _resident(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def _oom_kills() -> int:
    """How many processes the kernel has killed for want of memory; 0 where it doesn't say."""
    for path in _OOM_COUNTS:
        try:
            lines = path.read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            name, _, value = line.partition(" ")
            if name == "oom_kill":
                return int(value)
    return 0
