"""A cluster's broker that forgets, and a producer that is gone: nothing is lost, nothing stays behind."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import redis

from common.protocol import heartbeats
from producer.scheduler import run_stats
from tests.acceptance.commands import finish, only_run, producer, start
from tests.acceptance.workers import a_worker
from tests.waiting import wait_until

IMAGES = 60


@pytest.fixture
def running(tmp_path: Path, redis_url: str) -> Iterator[subprocess.Popen[str]]:
    """A run on a broker, in its middle."""
    (tmp_path / "photos").mkdir()
    random = np.random.default_rng(0)
    for number in range(IMAGES):
        image = cv2.resize(random.integers(0, 256, (60, 80, 3), np.uint8), (640, 480))
        (tmp_path / "photos" / f"{number:03d}.jpg").write_bytes(cv2.imencode(".jpg", image)[1].tobytes())
    with a_worker(["worker", "start", "-c", "2"], tmp_path, redis_url, processes=2):
        process = start("producer", "submit", "photos", "--json", cwd=tmp_path, MANYEYES_BROKER_URL=redis_url)
        wait_until(lambda: list(tmp_path.glob("runs/*/journal.bin")), what="the run's first result")
        wait_until(lambda: only_run(tmp_path).joinpath("journal.bin").stat().st_size, what="the run's first result")
        yield process
        if process.poll() is None:
            process.kill()
            process.communicate()


def test_a_flushed_broker_loses_nothing(running: subprocess.Popen[str], tmp_path: Path, client: redis.Redis) -> None:
    client.flushall()
    said = finish(running)
    assert said.code == 0, said.err
    assert said.json["ok"] == said.json["items"] == IMAGES
    served = heartbeats.live_detectors(client, heartbeats.live_processes(client))
    assert [info.name for info in served.values()] == ["hog"], "what the workers serve is said again"


def test_cancel_without_an_owner_frees_workers_and_broker(
    running: subprocess.Popen[str], tmp_path: Path, redis_url: str, client: redis.Redis
) -> None:
    running.kill()
    running.communicate()
    unnamed = producer("cancel", cwd=tmp_path)
    assert unnamed.code == 2 and "MANYEYES_BROKER_URL" in unnamed.error
    said = producer("cancel", cwd=tmp_path, MANYEYES_BROKER_URL=redis_url)
    assert said.code == 0 and "cancelled" in said.out, said.err
    left = {key.decode() for key in client.scan_iter("manyeyes:*")}
    run = only_run(tmp_path).name
    assert {key for key in left if run in key} == {f"manyeyes:run:{run}", f"manyeyes:figures:{run}"}
    assert client.ttl(f"manyeyes:run:{run}") > 0 < client.ttl(f"manyeyes:figures:{run}")
    last = run_stats.read(client, run)
    assert last is not None and last.progress.state == "cancelled"
    assert json.loads(producer("status", "--json", cwd=tmp_path).out)["state"] == "cancelled"


def test_another_producer_takes_over_on_the_same_broker(
    running: subprocess.Popen[str], tmp_path: Path, redis_url: str
) -> None:
    running.kill()
    running.communicate()
    said = producer("resume", "--json", cwd=tmp_path, MANYEYES_BROKER_URL=redis_url)
    assert said.code == 0, said.err
    assert said.json["ok"] == IMAGES


def test_a_broker_that_refuses_to_write_is_one_line(tmp_path: Path, redis_url: str, client: redis.Redis) -> None:
    client.acl_setuser("reader", enabled=True, passwords=["+secret"], keys=["*"], commands=["+@all", "-hsetnx"])
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"")
    try:
        with a_worker(["worker", "start", "-c", "1"], tmp_path, redis_url, processes=1):
            url = "redis+socket://reader:secret@" + redis_url.partition("@")[2]
            said = producer("submit", "photos", cwd=tmp_path, MANYEYES_BROKER_URL=url)
    finally:
        client.acl_deluser("reader")
    assert said.code == 1 and "the broker refuses: " in said.error and "hsetnx" in said.error, said.err
    assert "Traceback" not in said.err and "secret" not in said.err
    assert not list((tmp_path / "runs").iterdir()), "nothing of it is left to resume"
