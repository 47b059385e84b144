"""What `worker health` makes of heartbeats, on a real broker."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from dataclasses import replace

import pytest

from common.broker.connect import celery_app, connect
from common.errors import ManyeyesError
from common.limits import IDLE_ILL_S, OVERDUE_S, START_ILL_S
from common.protocol import heartbeats
from common.protocol.heartbeats import WorkerBeat
from common.protocol.messages import task_queue
from worker.pool.health import check

WELL = WorkerBeat("a@here", socket.gethostname(), 1, ("hog-1234",), 2, 2, 0.0)


def beat(redis_url: str, worker: WorkerBeat) -> None:
    with connect(redis_url) as client:
        heartbeats.worker_beat(client, worker)


@pytest.mark.parametrize(
    "fine",
    [WELL, replace(WELL, alive=1, short_s=START_ILL_S - 1), replace(WELL, idle_s=3600.0)],
    ids=["all well", "a process is being replaced", "nothing to do"],
)
def test_healthy(fine: WorkerBeat, redis_url: str) -> None:
    beat(redis_url, fine)
    assert "healthy, 1 worker" in check(redis_url)


@pytest.mark.parametrize(
    ("ill", "words"),
    [
        (replace(WELL, host="another"), "no worker's heartbeat"),
        (replace(WELL, alive=1, short_s=START_ILL_S + 1), "1 of 2 processes live"),
        (replace(WELL, overdue_s=OVERDUE_S + 1), "passed its time"),
    ],
)
def test_ill(ill: WorkerBeat, words: str, redis_url: str) -> None:
    beat(redis_url, ill)
    with pytest.raises(ManyeyesError, match=words):
        check(redis_url)


def test_messages_that_wait_while_all_processes_idle_are_an_ailment(redis_url: str) -> None:
    """Celery's workers have stopped consuming before, and answered every ping."""
    with celery_app(redis_url) as app:
        app.send_task("manyeyes.detect", queue=task_queue("hog-1234"))
    beat(redis_url, replace(WELL, idle_s=IDLE_ILL_S - 1))
    assert "healthy" in check(redis_url)
    beat(redis_url, replace(WELL, idle_s=IDLE_ILL_S + 1))
    with pytest.raises(ManyeyesError, match="1 messages wait in hog-1234"):
        check(redis_url)


def test_work_that_came_a_moment_ago_is_no_ailment(redis_url: str) -> None:
    """The heartbeat is from before it."""
    with celery_app(redis_url) as app:
        app.send_task("manyeyes.detect", queue=task_queue("hog-1234"))
    beat(redis_url, replace(WELL, idle_s=3600.0))
    busy = threading.Timer(0.5, beat, (redis_url, WELL))
    busy.start()
    assert "healthy" in check(redis_url)
    busy.join()


def test_one_ill_worker_of_several_is_named(redis_url: str) -> None:
    beat(redis_url, WELL)
    beat(redis_url, replace(WELL, worker="b@here", overdue_s=60.0))
    with pytest.raises(ManyeyesError, match="b@here"):
        check(redis_url)
    assert "healthy" in check(redis_url, "a@here")


def test_no_engine_is_loaded() -> None:
    code = "import sys, worker.cli, worker.pool.health; sys.exit(bool({'cv2', 'onnxruntime'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
