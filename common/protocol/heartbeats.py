"""Heartbeats: a process says once a second that it lives and what it does; producers read who is there."""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TypeVar, cast

import redis

from common import typed_json
from common.broker.connect import PREFIX
from common.errors import ProtocolError
from common.limits import DETECTOR_LIFE_S, HEARTBEAT_LIFE_S, MAX_INSTANT, MAX_NAME, PROTOCOL
from common.protocol.detector_info import DetectorInfo
from common.protocol.ledger import run_key, shard_key
from common.protocol.messages import ShardId

log = logging.getLogger(__name__)

PROCESSES_KEY = f"{PREFIX}processes"
WORKERS_KEY = f"{PREFIX}workers"


@dataclass(frozen=True, slots=True)
class Speed:
    """How long an image takes one process with one detector, all in all, fetching included."""

    queue: str
    #: Over its last shard; before the first, of the inference alone in its warm-up.
    ms_per_image: float


@dataclass(frozen=True, slots=True)
class Beat:
    """One heartbeat of one pool process."""

    #: `worker/pid`: the name under which it claims shards.
    process: str
    worker: str
    host: str
    pid: int
    #: Queues that it serves; each has a DetectorInfo of its own in Redis.
    queues: tuple[str, ...]
    #: What it works on now, and how many of the shard's images are done.
    run: str | None = None
    shard: str | None = None
    item: int | None = None
    shard_done: int = 0
    #: Since its start.
    images: int = 0
    #: Instants by its machine's clock; 0: no image yet.
    started: float = 0.0
    last_image: float = 0.0
    speeds: tuple[Speed, ...] = ()
    #: Seconds of CPU of the worker's parent process so far.
    parent_cpu_s: float = 0.0
    v: int = PROTOCOL


@dataclass(frozen=True, slots=True)
class WorkerBeat:
    """One heartbeat of a worker's parent: how its pool processes do."""

    worker: str
    host: str
    pid: int
    queues: tuple[str, ...]
    #: How many there should be, and how many have loaded their detectors and live.
    processes: int
    alive: int
    started: float
    #: Seconds for which some have been missing.
    short_s: float = 0.0
    #: Seconds by which an image has passed its time without its process being killed.
    overdue_s: float = 0.0
    #: Seconds for which no process has had an image.
    idle_s: float = 0.0
    #: Of manyeyes; empty: one that did not say so yet.
    version: str = ""
    v: int = PROTOCOL


AnyBeat = TypeVar("AnyBeat", Beat, WorkerBeat)


def process_key(process: str) -> str:
    return f"{PREFIX}process:{process}"


def detector_key(queue: str) -> str:
    return f"{PREFIX}detector:{queue}"


def announce(client: redis.Redis, info: DetectorInfo) -> None:
    """Describe a detector for producers. Heartbeats keep the description alive."""
    client.set(detector_key(info.queue), json.dumps(info.to_json()), ex=int(DETECTOR_LIFE_S))


def beat(client: redis.Redis, now: Beat, detectors: Sequence[DetectorInfo]) -> str | None:
    """Send one heartbeat; returns the state of the run that it works on, in the same round trip.

    That is `closed` also where nobody needs its shard any more: another attempt was first. Descriptions of `detectors`
    that the server has lost are put there again.
    """
    pipe = client.pipeline(transaction=False)
    pipe.set(process_key(now.process), json.dumps(asdict(now)), px=int(HEARTBEAT_LIFE_S * 1000))
    pipe.zadd(PROCESSES_KEY, {now.process: time.time()})
    for info in detectors:
        pipe.expire(detector_key(info.queue), int(DETECTOR_LIFE_S))
    if now.run:
        pipe.hmget(shard_key(now.run, str(now.shard)), ["attempt", "committed"])
        pipe.hget(run_key(now.run), "state")
    answers = pipe.execute()
    for info, known in zip(detectors, answers[2:], strict=False):
        if not known:
            announce(client, info)
    if not now.run:
        return None
    (attempt, committed), state = cast("tuple[list[bytes | None], bytes | None]", tuple(answers[-2:]))
    if state is None:
        return "closed"
    needed = attempt is not None and committed is None
    return state.decode(errors="replace") if needed or state not in (b"running", b"submitting") else "closed"


def worker_key(worker: str) -> str:
    return f"{PREFIX}worker:{worker}"


def worker_beat(client: redis.Redis, now: WorkerBeat) -> WorkerBeat | None:
    """Send one heartbeat; returns that of another worker of the same name, where that was the last one."""
    pipe = client.pipeline(transaction=False)
    pipe.mget([worker_key(now.worker)])
    pipe.set(worker_key(now.worker), json.dumps(asdict(now)), px=int(HEARTBEAT_LIFE_S * 1000))
    pipe.zadd(WORKERS_KEY, {now.worker: time.time()})
    [last], *_ = pipe.execute()
    others = _read(WorkerBeat, [last] if last else [])
    return next((one for one in others if (one.pid, one.started) != (now.pid, now.started)), None)


def clocks(client: redis.Redis, workers: Sequence[str]) -> dict[str, float]:
    """Seconds by which the clock of each live worker's machine is ahead of the broker's: its last word, by both."""
    pipe = client.pipeline(transaction=False)
    pipe.time()
    for worker in workers:
        pipe.pttl(worker_key(worker))
        pipe.zscore(WORKERS_KEY, worker)
    (seconds, micros), *answers = pipe.execute()
    now, found = seconds + micros / 1e6, {}
    for worker, left_ms, said in zip(workers, answers[::2], answers[1::2], strict=True):
        if left_ms > 0 and said is not None:
            found[worker] = float(said) - (now - (HEARTBEAT_LIFE_S - left_ms / 1000))
    return found


def worker_leave(client: redis.Redis, worker: str) -> None:
    client.delete(worker_key(worker))
    client.zrem(WORKERS_KEY, worker)


def live_workers(client: redis.Redis, strike: bool = False) -> list[WorkerBeat]:
    """All workers whose heartbeat lives, in the order of their names."""
    return _read(WorkerBeat, _living(client, WORKERS_KEY, worker_key, strike))


def worker_silence(client: redis.Redis, workers: Sequence[WorkerBeat]) -> list[float]:
    """Seconds since each one's last heartbeat, by the broker's clock alone: what its key has lost of its life."""
    pipe = client.pipeline(transaction=False)
    for worker in workers:
        pipe.pttl(worker_key(worker.worker))
    return [round(HEARTBEAT_LIFE_S - max(0, left) / 1000, 1) for left in pipe.execute()]


def leave(client: redis.Redis, process: str) -> None:
    """A process that ends says so: nobody need wait for its heartbeat to fade."""
    client.delete(process_key(process))
    client.zrem(PROCESSES_KEY, process)


def live_processes(client: redis.Redis, strike: bool = False) -> list[Beat]:
    """All processes whose heartbeat lives, of any protocol, in the order of their names."""
    return _read(Beat, _living(client, PROCESSES_KEY, process_key, strike))


def _living(client: redis.Redis, register: str, key: Callable[[str], str], strike: bool) -> list[bytes]:
    """The heartbeats of those in a register; who has none is struck from it, where an owner looks: others only read."""
    names = sorted(cast("list[bytes]", client.zrange(register, 0, -1)))
    if not names:
        return []
    texts = cast("list[bytes | None]", client.mget([key(name.decode(errors="replace")) for name in names]))
    gone = [name for name, text in zip(names, texts, strict=True) if text is None]
    if gone and strike:
        client.zrem(register, *gone)
    return [text for text in texts if text is not None]


def _read(cls: type[AnyBeat], texts: list[bytes]) -> list[AnyBeat]:
    """Those that are heartbeats: who writes other things is not there, and ends nobody who reads it."""
    found = []
    for text in texts:
        try:
            now = typed_json.read(cls, json.loads(text), spare=True)
            if _sane(now):
                found.append(now)
        except (ValueError, RecursionError, ProtocolError) as error:
            log.debug("a heartbeat that is none: %s", error)
    return found


def _sane(now: Beat | WorkerBeat) -> bool:
    """Names that people can be shown on a terminal, and instants that a calendar has."""
    names, instants = [now.worker, now.host, *now.queues], [now.started]
    if isinstance(now, Beat):
        names += [now.process, now.run or ""]
        instants += [now.last_image]
        if now.shard is not None:
            ShardId.parse(now.shard)
    return all(len(name) <= MAX_NAME and name.isprintable() for name in names) and all(
        0 <= instant < MAX_INSTANT for instant in instants
    )


def live_detectors(client: redis.Redis, processes: list[Beat]) -> dict[str, DetectorInfo]:
    """Queue to description, for every queue that a process of our protocol serves."""
    queues = sorted({queue for process in processes if process.v == PROTOCOL for queue in process.queues})
    if not queues:
        return {}
    texts = cast("list[bytes | None]", client.mget([detector_key(queue) for queue in queues]))
    found = {}
    for queue, text in zip(queues, texts, strict=True):
        with contextlib.suppress(ValueError, RecursionError, ProtocolError):
            if text is None:
                continue
            info = DetectorInfo.from_json(json.loads(text))
            # Of a queue that bears its digest: nobody else's description; and in words that people can be shown.
            if info.queue == queue and (info.family + info.head + info.caution).isprintable():
                found[queue] = info
    return found
