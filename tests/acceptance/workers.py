"""Workers that a test starts by hand on a broker of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from common.broker.connect import connect
from common.protocol import heartbeats
from tests.acceptance.commands import BIN, LIMIT_S, environment
from tests.waiting import wait_until


@contextmanager
def a_worker(
    command: list[str], cwd: Path, url: str, processes: int = 1, **extra: str
) -> Iterator[subprocess.Popen[str]]:
    """A worker that lives while the block runs; when it begins, there are so many processes in all.

    It may read what is below `cwd`, unless `extra` says else.
    """
    log = cwd / "worker.log"
    # Not a pipe: nobody reads while it works, and a full pipe would stop it.
    with log.open("w") as words:
        worker = subprocess.Popen(
            [BIN / command[0], *command[1:]],
            cwd=cwd,
            env=environment(**{"MANYEYES_BROKER_URL": url, "MANYEYES_ROOTS": str(cwd), **extra}),
            stdin=subprocess.DEVNULL,
            stdout=words,
            stderr=words,
            text=True,
        )
    try:
        with connect(url) as client:
            wait_until(lambda: worker.poll() is not None or live(client) == processes, what="the worker's heartbeats")
        assert worker.poll() is None, log.read_text()
        yield worker
    finally:
        worker.terminate()
        worker.wait(timeout=LIMIT_S)


def live(client: redis.Redis) -> int:
    return len(heartbeats.live_processes(client))
