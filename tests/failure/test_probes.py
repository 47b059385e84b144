"""`worker health --local` and workers' logs through a broker's outage; and names, of two plain Celery workers."""

from __future__ import annotations

import contextlib
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from chaos.broker import Broker
from common.limits import HEARTBEAT_LIFE_S
from common.protocol import heartbeats
from tests.acceptance.commands import Said, finish, start
from tests.acceptance.workers import a_worker
from tests.failure import poison
from tests.failure.test_kills import progress
from tests.waiting import wait_until

PLAIN = ["celery", "-A", "worker.app", "worker", "--concurrency", "1", "--loglevel", "INFO"]


@pytest.fixture
def broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Broker]:
    """And a temporary folder of the test's own: other workers of this user are none of its business."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    broker = Broker(tmp_path / "broker.log")
    try:
        broker.start()
        yield broker
    finally:
        broker.close()


def health(broker: Broker, cwd: Path, *options: str) -> Said:
    return finish(start("worker", "health", *options, cwd=cwd, MANYEYES_BROKER_URL=broker.url))


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[str]]]:
    """What a service has told systemd since it was asked last."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as wire:
        wire.bind(str(tmp_path / "notify"))
        wire.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))

        def told() -> list[str]:
            words: list[str] = []
            with contextlib.suppress(BlockingIOError):
                while True:
                    words.append(wire.recv(100).decode())
            return words

        yield told


def test_an_outage_is_no_ailment_and_is_said_once(
    broker: Broker, tmp_path: Path, systemd: Callable[[], list[str]]
) -> None:
    log = tmp_path / "worker.log"
    assert "no worker of this user lives here" in health(broker, tmp_path, "--local").error
    with a_worker(["worker", "start", "--concurrency", "2"], tmp_path, broker.url, processes=2) as worker:
        wait_until(lambda: "2 processes" in health(broker, tmp_path, "--local").out, what="health")
        assert systemd()[0] == "READY=1"
        broker.kill()
        wait_until(lambda: log.read_text().count("heartbeat: waits for the broker") == 3, what="word of the outage")
        # systemd hears each second that the worker is well: by then, as many heartbeats have failed.
        words = systemd()[:0]
        wait_until(lambda: words.extend(systemd()) or words.count("WATCHDOG=1") >= 5, what="an outage that lasts")
        well = health(broker, tmp_path, "--local")
        assert well.code == 0 and "1 worker alive, 2 processes" in well.out, well.err
        assert "does not answer" in health(broker, tmp_path).error
        assert log.read_text().count("heartbeat: waits for the broker") == 3
        parent = psutil.Process(worker.pid)
        parent.suspend()
        ill = health(broker, tmp_path, "--local")
        assert ill.code == 1 and "it is stopped" in ill.error
        parent.resume()
        broker.start()
        wait_until(lambda: log.read_text().count("heartbeat: the broker is back") == 3, what="the end of the outage")
        assert health(broker, tmp_path, "--local").code == 0
        systemd()
    assert "STOPPING=1" in systemd()
    assert not list(tmp_path.glob("manyeyes-workers-*"))


def test_a_worker_that_loads_its_models_is_not_ill(broker: Broker, tmp_path: Path) -> None:
    made = poison.make(tmp_path, 1, [], pace_s=60)
    command = ("worker", "start", "--detector", "poisonable")
    worker = start(*command, cwd=tmp_path, MANYEYES_BROKER_URL=broker.url, **made.environment)
    try:
        wait_until(
            lambda: "1 of them starting" in health(broker, tmp_path, "--local").out, timeout=30, what="its start"
        )
    finally:
        for child in psutil.Process(worker.pid).children():
            child.kill()
        assert "died of SIGKILL" in finish(worker).error
    assert not list(tmp_path.glob("manyeyes-workers-*"))


def test_two_plain_celery_workers_are_two(broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And who dies is missed as soon as one of `worker start`."""
    made = poison.make(tmp_path, 4, [], pace_s=0)
    extra = {**made.environment, "MANYEYES_DETECTOR": "poisonable", "MANYEYES_BROKER_URL": broker.url}
    for name, value in extra.items():
        monkeypatch.setenv(name, value)
    with a_worker(PLAIN, tmp_path, broker.url) as first, a_worker(PLAIN, tmp_path, broker.url, processes=2):
        wait_until(lambda: len(heartbeats.live_workers(broker.client)) == 2, timeout=10, what="two workers in the list")
        names = {one.pid: one.worker for one in heartbeats.live_workers(broker.client)}
        asked = finish(start("celery", "-A", "worker.app", "inspect", "ping", cwd=tmp_path))
        assert all(f"{name}: OK" in asked.out for name in names.values()), asked.out
        made.pace(60)
        run = start("producer", "submit", "photos", "--detector", "poisonable", "--shard-size", 1, cwd=tmp_path)
        wait_until(lambda: len(at_work(broker)) == 2, what="work for both")
        made.pace(0)
        for process in [psutil.Process(first.pid), *psutil.Process(first.pid).children(recursive=True)]:
            process.kill()
        killed = time.monotonic()
        wait_until(lambda: progress(tmp_path).get("sent_again"), what="that it is missed")
        assert time.monotonic() - killed < HEARTBEAT_LIFE_S + 4
        run.send_signal(signal.SIGINT)
        finish(run)
        # The other one ends between two images.
        psutil.Process(next(pid for pid in names if pid != first.pid)).children()[0].kill()


def test_a_name_that_was_given_twice_is_warned_of(broker: Broker, tmp_path: Path) -> None:
    named = [*PLAIN, "-n", "alpha@here"]
    log = tmp_path / "worker.log"
    with a_worker(named, tmp_path, broker.url):
        assert "another worker" not in log.read_text()
        # The second one's log takes the first one's name: both write to it.
        with a_worker(named, tmp_path, broker.url, processes=2):
            wait_until(lambda: "another worker is called alpha@here too" in log.read_text(), what="the warning")


def at_work(broker: Broker) -> list[str]:
    return [beat.worker for beat in heartbeats.live_processes(broker.client) if beat.item is not None]
