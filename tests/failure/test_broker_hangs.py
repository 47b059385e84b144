"""A broker that neither answers nor is gone: what hangs is watched all the same, and Ctrl-C ends at once."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil
import pytest

from chaos.broker import Broker
from common.protocol import heartbeats
from tests.acceptance.commands import finish, producer, start
from tests.acceptance.workers import a_worker
from tests.failure import poison
from tests.waiting import wait_until

WORKER = ["worker", "start", "--detector", "poisonable", "--concurrency", "1"]
SUBMIT = ("submit", "photos", "--detector", "poisonable", "--json")


def process_of(own_broker: Broker) -> psutil.Process:
    return psutil.Process(int(own_broker.client.info("server")["process_id"]))  # type: ignore[index]


def pids_at_work(own_broker: Broker) -> list[int]:
    return [beat.pid for beat in heartbeats.live_processes(own_broker.client) if beat.item is not None]


def test_images_are_timed_while_the_broker_hangs(
    own_broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = poison.make(tmp_path, 1, [])
    for name, value in {**made.environment, "MANYEYES_BROKER_URL": own_broker.url}.items():
        monkeypatch.setenv(name, value)
    server = process_of(own_broker)
    with a_worker(WORKER, tmp_path, own_broker.url):
        made.pace(60)
        run = start("producer", *SUBMIT, "--image-timeout", 3, cwd=tmp_path)
        [pid] = wait_until(lambda: pids_at_work(own_broker), what="a process at the image")
        server.suspend()
        try:
            wait_until(lambda: ended(pid), what="its process's end")
            made.pace(0)
        finally:
            server.resume()
        said = finish(run)
    assert said.code == 0 and said.json["ok"] == 1, said.err
    assert "takes over 3 s: its process is killed" in (tmp_path / "worker.log").read_text()


def ended(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def test_an_interrupt_does_not_wait_for_the_broker(
    own_broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = poison.make(tmp_path, 30, [], pace_s=1.0)
    for name, value in {**made.environment, "MANYEYES_BROKER_URL": own_broker.url}.items():
        monkeypatch.setenv(name, value)
    server = process_of(own_broker)
    with a_worker(WORKER, tmp_path, own_broker.url):
        run = start("producer", *SUBMIT, cwd=tmp_path)
        wait_until(lambda: pids_at_work(own_broker), what="work")
        server.suspend()
        try:
            run.send_signal(signal.SIGINT)
            wait_until(lambda: run.poll() is not None, timeout=60, what="its end")
        finally:
            server.resume()
        said = finish(run)
        assert said.code == 130 and "Traceback" not in said.err and "producer resume" in said.err, said.err
        made.pace(0)
        again = producer("resume", "--json", cwd=tmp_path)
    assert again.code == 0 and again.json["ok"] == 30, again.err


def test_a_worker_that_starts_during_a_failover_waits_for_its_end(
    own_broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = poison.make(tmp_path, 1, [])
    for name, value in {**made.environment, "MANYEYES_BROKER_URL": own_broker.url}.items():
        monkeypatch.setenv(name, value)
    own_broker.demote(stale=True)

    def refused() -> int:
        return int(own_broker.client.info("errorstats").get("errorstat_READONLY", {"count": 0})["count"])  # type: ignore[union-attr]

    worker = start(*WORKER, cwd=tmp_path)
    try:
        # More than the client's own tries, 4 of them.
        wait_until(lambda: refused() > 8, timeout=20, what="writes that are refused")
        own_broker.promote()
        wait_until(lambda: heartbeats.live_processes(own_broker.client), what="the worker's heartbeat")
    finally:
        worker.terminate()
        said = finish(worker)
    assert said.code == 0, said.err
