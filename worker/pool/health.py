"""Heartbeats of this machine's workers in; healthy, or what ails them, out. Loads no model and no engine."""

from __future__ import annotations

import socket
import time
from typing import cast

import redis

from common.broker.asking import ask
from common.broker.connect import PREFIX
from common.broker.replies import check_takes_writes
from common.errors import ManyeyesError
from common.limits import HEARTBEAT_S, IDLE_ILL_S
from common.protocol.heartbeats import WorkerBeat, live_workers
from common.protocol.messages import queue_keys, task_queue
from worker.pool.local_health import ailment

#: Seconds in which a worker that takes work is seen to: its heartbeat may be one old, and its first image take a while.
_SECOND_LOOK_S = 3 * HEARTBEAT_S
#: Seconds for all of it, and for each step: who probes waits no longer than a few.
_ALL_S, _STEP_S = 4.5, 2.0


def check(url: str, worker: str | None = None) -> str:
    """One line for a healthy machine. Raises ManyeyesError that names what is ill, BrokerError without a broker.

    `worker`: only that one, by its node name; else all of this host.
    """
    return ask(url, lambda client: _check(client, worker), _ALL_S, _STEP_S)


def _check(client: redis.Redis, worker: str | None) -> str:
    host = socket.gethostname()
    workers = _of_here(client, host, worker)
    deadline = time.monotonic() + _SECOND_LOOK_S
    while any(_passed_by(one, client) for one in workers) and time.monotonic() < deadline:
        # Work that came a moment ago: its heartbeat does not know of it yet.
        time.sleep(HEARTBEAT_S / 4)
        workers = _of_here(client, host, worker)
    if not workers:
        check_takes_writes(client)
        who = worker or f"host {host}"
        raise ManyeyesError(f"{who}: no worker's heartbeat; it is starting, hung or dead: see its log, start it again")
    for one in workers:
        ill = ailment(one) or _passed_by(one, client)
        if ill:
            raise ManyeyesError(f"{one.worker}: {ill}")
    processes = sum(one.alive for one in workers)
    return f"{host}: healthy, {len(workers)} worker{'s' * (len(workers) != 1)}, {processes} processes"


def _of_here(client: redis.Redis, host: str, worker: str | None) -> list[WorkerBeat]:
    return [one for one in live_workers(client) if one.host == host and worker in (None, one.worker)]


def _passed_by(one: WorkerBeat, client: redis.Redis) -> str | None:
    """Messages that wait while all processes idle: a consumer that no longer consumes."""
    if one.idle_s < IDLE_ILL_S:
        return None
    for name in one.queues:
        # Not through kombu, which has a patience of its own.
        waiting = sum(cast("list[int]", [client.llen(f"{PREFIX}{key}") for key in queue_keys(task_queue(name))]))
        if waiting:
            return f"{waiting} messages wait in {name}, and it has taken none for {one.idle_s:.0f} s; start it again"
    return None
