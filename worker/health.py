"""Heartbeats of this machine's workers in; healthy, or what ails them, out. Loads no model and no engine."""

from __future__ import annotations

import socket
import time
from typing import Any, cast

import redis

from common.broker import connect
from common.errors import ManyeyesError
from common.limits import HEARTBEAT_S, IDLE_ILL_S
from common.messages import task_queue
from common.presence import WorkerBeat, live_workers
from worker.local import ailment

#: Seconds in which a worker that takes work is seen to: its heartbeat may be one old, and its first image take a while.
_SECOND_LOOK_S = 3 * HEARTBEAT_S


def check(url: str, worker: str | None = None) -> str:
    """One line for a healthy machine. Raises ManyeyesError that names what is ill, BrokerError without a broker.

    `worker`: only that one, by its node name; else all of this host.
    """
    host = socket.gethostname()
    with connect(url) as client:
        workers = _of_here(client, host, worker)
        deadline = time.monotonic() + _SECOND_LOOK_S
        while any(_passed_by(one, url) for one in workers) and time.monotonic() < deadline:
            # Work that came a moment ago: its heartbeat does not know of it yet.
            time.sleep(HEARTBEAT_S / 4)
            workers = _of_here(client, host, worker)
    if not workers:
        who = worker or f"host {host}"
        raise ManyeyesError(f"{who}: no worker's heartbeat; it is starting, hung or dead: see its log, start it again")
    for one in workers:
        ill = ailment(one) or _passed_by(one, url)
        if ill:
            raise ManyeyesError(f"{one.worker}: {ill}")
    processes = sum(one.alive for one in workers)
    return f"{host}: healthy, {len(workers)} worker{'s' * (len(workers) != 1)}, {processes} processes"


def _of_here(client: redis.Redis, host: str, worker: str | None) -> list[WorkerBeat]:
    return [one for one in live_workers(client) if one.host == host and worker in (None, one.worker)]


def _passed_by(one: WorkerBeat, url: str) -> str | None:
    """Messages that wait while all processes idle: a consumer that no longer consumes."""
    if one.idle_s < IDLE_ILL_S:
        return None
    from kombu import Queue

    from common.broker import celery_app

    with celery_app(url).connection_for_read() as connection:
        for name in one.queues:
            queue = Queue(task_queue(name), channel=connection.default_channel)
            waiting = int(cast(Any, queue.queue_declare(passive=False)).message_count)
            if waiting:
                return (
                    f"{waiting} messages wait in {name}, and it has taken none for {one.idle_s:.0f} s; start it again"
                )
    return None
