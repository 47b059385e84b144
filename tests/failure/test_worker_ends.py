"""TERM of a worker at bad moments: it ends in time, and nothing is lost."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import psutil
import pytest

from chaos.broker import Broker
from common.limits import ENDING_S, GOODBYE_S
from common.protocol import heartbeats
from tests.acceptance.commands import finish, start
from tests.acceptance.workers import a_worker
from tests.failure import poison
from tests.waiting import wait_until

WORKER = ["worker", "start", "--detector", "poisonable", "--concurrency", "1"]
SUBMIT = ("submit", "photos", "--detector", "poisonable", "--json")


@pytest.fixture
def photos(tmp_path: Path, own_broker: Broker, monkeypatch: pytest.MonkeyPatch) -> poison.Poisoned:
    made = poison.make(tmp_path, 3, [])
    for name, value in {**made.environment, "MANYEYES_BROKER_URL": own_broker.url, "TMPDIR": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    return made


def alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_one_to_which_a_shard_has_just_come(own_broker: Broker, photos: poison.Poisoned) -> None:
    """Celery's parent no longer reads what a process says of a shard that it had not yet begun."""
    log = photos.folder / "worker.log"
    with a_worker([*WORKER, "--loglevel", "DEBUG"], photos.folder, own_broker.url) as worker:
        [beat] = heartbeats.live_processes(own_broker.client)
        process = psutil.Process(beat.pid)
        process.suspend()
        run = start("producer", *SUBMIT, cwd=photos.folder)
        wait_until(lambda: "] received\n" in log.read_text(), what="the shard")
        worker.terminate()
        told = time.monotonic()
        wait_until(lambda: "Worker: Stopping Pool" in log.read_text(), what="the end of its reading")
        process.resume()
        assert worker.wait(timeout=60) == 0
        assert time.monotonic() - told < 10
        with a_worker(WORKER, photos.folder, own_broker.url):
            said = finish(run)
    assert said.code == 0 and said.json["ok"] == 3, said.err


def test_one_whose_broker_hangs_while_it_is_at_a_long_image(own_broker: Broker, photos: poison.Poisoned) -> None:
    server = psutil.Process(int(own_broker.client.info("server")["process_id"]))  # type: ignore[index]
    with a_worker(WORKER, photos.folder, own_broker.url) as worker:
        photos.pace(60)
        run = start("producer", *SUBMIT, cwd=photos.folder)
        wait_until(lambda: any(b.item is not None for b in heartbeats.live_processes(own_broker.client)), what="work")
        processes = psutil.Process(worker.pid).children(recursive=True)
        server.suspend()
        try:
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(timeout=ENDING_S + GOODBYE_S + 3) == 0
            wait_until(lambda: not any(map(alive, processes)), timeout=5, what="the end of its processes")
            assert not list(photos.folder.glob("manyeyes-workers-*/*")), "no death for `worker health --local`"
        finally:
            server.resume()
        photos.pace(0)
        with a_worker(WORKER, photos.folder, own_broker.url):
            said = finish(run)
    assert said.code == 0 and said.json["ok"] == 3, said.err
