"""What goes wrong around workers and disks, for real: models that change, full disks, full brokers."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import redis

from common.broker.connect import connect
from common.protocol import heartbeats
from tests.acceptance.commands import BIN, LIMIT_S, environment, finish, only_run, producer, start
from tests.acceptance.workers import a_worker
from tests.failure import poison
from tests.unit import onnx_graphs
from tests.waiting import wait_until

IMAGES = 300


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with connect(redis_url) as client:
        yield client
        client.config_set("maxmemory", 0)


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> poison.Poisoned:
    made = poison.make(tmp_path, IMAGES, [], pace_s=0.02)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    return made


WORKER = ["worker", "start", "--detector", "poisonable", "--concurrency", "2"]
SUBMIT = ("submit", "photos", "--detector", "poisonable", "--json")


def changed(model: Path) -> None:
    onnx_graphs.yolov8(model, size=96)


def data_of(model: Path) -> Path:
    return model.with_name(f"{model.name}.data")


def data_changed(model: Path) -> None:
    content = bytearray(data_of(model).read_bytes())
    content[-1] ^= 1
    data_of(model).write_bytes(content)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (changed, "has changed"),
        (Path.unlink, "does not exist"),
        (data_changed, "has changed"),
        (lambda model: data_of(model).unlink(), "its weights are missing"),
    ],
)
def test_a_worker_whose_model_is_another_one_now_ends_and_says_so(
    harm: Callable[[Path], None], words: str, tmp_path: Path, redis_url: str, client: redis.Redis
) -> None:
    """When a process has to be replaced: never with other weights, and never a worker that serves nothing."""
    model = onnx_graphs.apart(onnx_graphs.yolov8(tmp_path / "best.onnx"))
    worker = start("worker", "start", "--detector", model, "-c", 1, cwd=tmp_path, MANYEYES_BROKER_URL=redis_url)
    [beat] = wait_until(lambda: heartbeats.live_processes(client), what="the process")
    harm(model)
    psutil.Process(beat.pid).kill()
    said = finish(worker)
    assert said.code == 1 and words in said.err + said.out, said.err


def test_a_full_disk_ends_the_run_in_one_line_and_nothing_is_lost(
    photos: poison.Poisoned, tmp_path: Path, redis_url: str
) -> None:
    photos.pace(0)
    with a_worker(WORKER, tmp_path, redis_url, processes=2):
        # No file of the producer's may pass 32 blocks of 1,024 bytes: its journal is the first that has to.
        limited = ["bash", "-c", 'ulimit -f 32; exec "$@"', "bash", BIN / "producer", *SUBMIT]
        said = finish(
            subprocess.Popen(
                limited,
                cwd=tmp_path,
                env=environment(MANYEYES_BROKER_URL=redis_url),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        assert said.code == 1 and "journal.bin cannot be written" in said.error and "File too large" in said.error, (
            said.err
        )
        assert "producer resume" in said.error
        again = producer("resume", "--json", cwd=tmp_path, MANYEYES_BROKER_URL=redis_url)
    assert again.code == 0 and again.json["ok"] == IMAGES, again.err
    assert producer("verify", cwd=tmp_path).code == 0


def test_a_full_broker_is_waited_for(
    photos: poison.Poisoned, tmp_path: Path, redis_url: str, client: redis.Redis
) -> None:
    words = tmp_path / "said"
    with a_worker(WORKER, tmp_path, redis_url, processes=2) as worker, words.open("w") as said:
        run = subprocess.Popen(
            [BIN / "producer", *SUBMIT], cwd=tmp_path, env=environment(MANYEYES_BROKER_URL=redis_url), stderr=said
        )
        wait_until(lambda: list(tmp_path.glob("runs/*/journal.bin")), what="the journal")
        wait_until(lambda: (only_run(tmp_path) / "journal.bin").stat().st_size, what="the first result")
        client.config_set("maxmemory", 1)
        wait_until(lambda: "its memory is full" in words.read_text(), what="the producer's noticing")
        client.config_set("maxmemory", 0)
        photos.pace(0)
        assert run.wait(timeout=LIMIT_S) == 0, words.read_text()
        assert worker.poll() is None, "no worker ends for it"
    assert producer("verify", cwd=tmp_path).code == 0
