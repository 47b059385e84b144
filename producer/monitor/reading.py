"""Redis in, all that the monitor shows out: read-only commands, in a number of round trips that nothing raises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import redis

from common.broker.connect import PREFIX
from common.protocol import heartbeats
from common.protocol.heartbeats import Beat, WorkerBeat
from common.protocol.ledger import RunState
from common.protocol.messages import queue_keys, task_queue
from common.protocol.rejections import REFUSED_KEY, parsed
from producer.run.waiting import WAITING_KEY, images_waiting
from producer.scheduler import run_stats
from producer.scheduler.run_stats import Figures

#: Seconds after its owner's last word for which a run is shown: one that has ended, and any other.
ENDED_SHOWN_S, SHOWN_S = 15 * 60.0, 24 * 3600.0
#: Runs that are shown, and waiting commands that count, at most; those with the latest word first.
MOST_RUNS = 100


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at Redis."""

    #: Redis TIME, seconds.
    now: float
    runs: tuple[Figures, ...]
    workers: tuple[WorkerBeat, ...]
    processes: tuple[Beat, ...]
    #: Messages that wait, by queue: of those that a worker serves or a live run needs.
    waiting: Mapping[str, int]
    #: Images of those who wait for a worker, by detector.
    awaited: Mapping[str, int]
    refused: Mapping[str, int]
    #: Bytes; where the server has no bound, what its machine has.
    memory_used: int
    memory_max: int


def read(client: redis.Redis) -> Reading:
    """Raises redis.RedisError."""
    pipe = client.pipeline(transaction=False)
    pipe.time()
    pipe.info("memory")
    pipe.hgetall(REFUSED_KEY)
    pipe.zrange(WAITING_KEY, -MOST_RUNS, -1, withscores=True)
    (seconds, micros), memory, refused, entries = cast(
        "tuple[tuple[int, int], dict[str, Any], dict[bytes, bytes], list[tuple[bytes, float]]]", tuple(pipe.execute())
    )
    now = seconds + micros / 1e6
    runs = [one for one in run_stats.all_runs(client, now - SHOWN_S, MOST_RUNS) if _shown(one, now)]
    processes = heartbeats.live_processes(client)
    queues = {one.queue for one in runs if one.live(now)} | {queue for beat in processes for queue in beat.queues}
    return Reading(
        now=now,
        runs=tuple(runs),
        workers=tuple(heartbeats.live_workers(client)),
        processes=tuple(processes),
        waiting=_waiting(client, sorted(queues)),
        awaited=images_waiting([entry for entry, until in entries if until >= now]),
        refused=parsed(refused),
        memory_used=int(memory["used_memory"]),
        memory_max=int(memory["maxmemory"] or memory["total_system_memory"]),
    )


def _shown(run: Figures, now: float) -> bool:
    return not RunState(run.progress.state).finished or run.said > now - ENDED_SHOWN_S


def _waiting(client: redis.Redis, queues: list[str]) -> dict[str, int]:
    """Without kombu, which declares a queue by asking for its length. Each has two lists: see `queue_keys`.

    Whoever beats names queues: one that there cannot be hides nothing else.
    """
    pipe = client.pipeline(transaction=False)
    for queue in queues:
        for key in queue_keys(task_queue(queue)):
            pipe.llen(f"{PREFIX}{key}")
    answers = pipe.execute(raise_on_error=False)
    lengths = zip(answers[::2], answers[1::2], strict=True)
    return {
        queue: front + rest
        for queue, (front, rest) in zip(queues, lengths, strict=True)
        if isinstance(front, int) and isinstance(rest, int)
    }
