"""A broker that is there already, and workers that were started by hand."""

from __future__ import annotations

import json
import signal
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from common.broker.connect import connect
from common.protocol.messages import DETECT_TASK
from tests.acceptance.commands import Said, finish, producer, start
from tests.acceptance.workers import a_worker, live
from tests.unit import onnx_graphs, pictures
from tests.waiting import wait_until


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    for number in range(5):
        (tmp_path / "photos" / f"{number}.jpg").write_bytes(pictures.jpeg())
    return tmp_path


def test_without_a_worker_the_command_that_starts_one_is_printed(photos: Path, redis_url: str) -> None:
    said = producer("submit", "photos", "--detector", "cascade", cwd=photos, MANYEYES_BROKER_URL=redis_url)
    assert said.code == 2
    assert "no worker serves 'cascade'" in said.error and "worker start --detector cascade" in said.error
    assert redis_url not in said.err, "the password is not shown"


def test_worker_start_serves_runs_and_ends_cleanly_on_term(photos: Path, redis_url: str) -> None:
    command = ["worker", "start", "--detector", "cascade,hog", "--concurrency", "2"]
    here: dict[str, Any] = {"cwd": photos, "MANYEYES_BROKER_URL": redis_url}
    early = start("producer", "submit", "photos", "--detector", "cascade", "--wait", "60", "--json", **here)
    assert early.stderr is not None and "waiting for a worker that serves 'cascade'" in early.stderr.readline()
    with a_worker(command, photos, redis_url, processes=2) as worker:
        for said in (finish(early), producer("submit", "photos", "--detector", "hog", "--json", **here)):
            assert said.code == 0 and said.json["ok"] == 5, said.err
        listed = producer("detectors", "--json", cwd=photos, MANYEYES_BROKER_URL=redis_url)
        assert '"cascade-' in listed.out and '"hog-' in listed.out
        worker.send_signal(signal.SIGTERM)
        assert finish(worker).code == 0
    with connect(redis_url) as client:
        assert live(client) == 0, "the processes said goodbye"


def test_a_shared_disk_may_have_another_name_on_each_machine(photos: Path, redis_url: str) -> None:
    (photos / "there").mkdir()
    command = ["worker", "start", "--detector", "cascade", "-c", "1"]
    refused = finish(start(*command, "--map", "/data=nowhere", cwd=photos, MANYEYES_BROKER_URL=redis_url))
    assert refused.code == 2 and "--map /data=nowhere" in refused.error
    with a_worker([*command, "--map", f"{photos}/there={photos}/photos"], photos, redis_url):
        for number in range(5):
            (photos / "there" / f"{number}.jpg").write_bytes(b"the producer sees another file here")
        submit = ("submit", "there", "--detector", "cascade", "--transport", "path", "--json")
        said = producer(*submit, cwd=photos, MANYEYES_BROKER_URL=redis_url)
        assert said.code == 0 and said.json["ok"] == 5, said.err


def test_a_machine_without_the_disk_writes_nothing_off(photos: Path, redis_url: str) -> None:
    (photos / "empty").mkdir()
    command = ["worker", "start", "--detector", "cascade", "-c", "1"]
    with a_worker([*command, "--map", f"{photos}/photos={photos}/empty"], photos, redis_url):
        submit = ("submit", "photos", "--detector", "cascade", "--shard-size", "1", "--transport", "path")
        said = producer(*submit, cwd=photos, MANYEYES_BROKER_URL=redis_url)
    assert said.code == 1 and "does not see" in said.error and "--map THERE=HERE" in said.error, said.err
    with a_worker(command, photos, redis_url):
        again = producer("resume", "--json", cwd=photos, MANYEYES_BROKER_URL=redis_url)
    assert again.code == 0 and again.json["ok"] == 5, again.err


def test_another_programs_broker_url_is_not_followed(
    photos: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKER_URL", "redis://127.0.0.1:1/0")
    with a_worker(["worker", "start", "-c", "1"], photos, redis_url):
        said = producer("submit", "photos", "--json", cwd=photos, MANYEYES_BROKER_URL=redis_url)
    assert said.code == 0 and said.json["ok"] == 5, said.err


def test_the_ecosystems_own_command_works(photos: Path, redis_url: str) -> None:
    command = ["celery", "-A", "worker.app", "worker", "-c", "1"]
    with a_worker(command, photos, redis_url):
        said = producer("submit", "photos", "--json", cwd=photos, MANYEYES_BROKER_URL=redis_url)
        assert said.code == 0 and said.json["ok"] == 5, said.err


def test_celery_broker_url_serves_too_and_so_does_a_dotenv_file(photos: Path, redis_url: str) -> None:
    (photos / ".env").write_text(f"CELERY_BROKER_URL={redis_url}\n")
    said = producer("submit", "photos", cwd=photos)
    assert "no worker serves 'hog'" in said.error


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--detector", "missing.onnx"], "missing.onnx"),
        (["--detector", "hogg"], "hogg"),
        (["--detector", "hog", "--head", "yolox"], "--head"),
    ],
)
def test_a_worker_whose_model_is_bad_ends_at_once(options: list[str], words: str, photos: Path, redis_url: str) -> None:
    said = finish(start("worker", "start", *options, cwd=photos, MANYEYES_BROKER_URL=redis_url))
    assert said.code == 2 and words in said.error


def test_a_worker_without_a_broker_says_what_to_set(photos: Path) -> None:
    said = finish(start("worker", "start", cwd=photos))
    assert said.code == 2 and "MANYEYES_BROKER_URL" in said.error


def test_a_broker_that_does_not_answer_is_named(photos: Path) -> None:
    said = producer("submit", "photos", cwd=photos, MANYEYES_BROKER_URL="redis://:secret@127.0.0.1:1/0")
    assert said.code == 1 and "127.0.0.1:1" in said.error and "secret" not in said.err


def test_the_worker_registers_every_task_that_is_sent() -> None:
    from worker.app import app

    assert DETECT_TASK in app.tasks


def test_a_worker_that_reaches_no_broker_ends_in_one_line(photos: Path) -> None:
    said = finish(start("worker", "start", "--broker", "redis://127.0.0.1:1/0", cwd=photos))
    assert said.code == 1 and "127.0.0.1:1" in said.error


def test_a_model_file_is_the_one_that_workers_serve_or_is_refused(photos: Path, redis_url: str) -> None:
    """Not only its name: different weights never mix."""
    model = onnx_graphs.yolov8(photos / "best.onnx")
    (photos / "other").mkdir()
    onnx_graphs.yolov8(photos / "other" / "best.onnx", size=96)

    def submit(detector: str) -> Said:
        return producer("submit", "photos", "--detector", detector, cwd=photos, MANYEYES_BROKER_URL=redis_url)

    with a_worker(["worker", "start", "--detector", str(model), "-c", "1"], photos, redis_url):
        assert submit("best.onnx").code == submit("best").code == 0
        other, missing = submit("other/best.onnx"), submit("nowhere/best.onnx")
        assert other.code == 2 and "another file" in other.error
        assert missing.code == 2 and "nowhere/best.onnx does not exist" in missing.error
        queue = other.error.split("best: ")[1].split()[0]
        assert submit(queue).code == 0, "as `producer detectors` lists it"
    twice = finish(
        start("worker", "start", "--detector", "best.onnx,other/best.onnx", cwd=photos, MANYEYES_BROKER_URL=redis_url)
    )
    assert twice.code == 2 and "called best" in twice.error


def test_flower_sees_workers_and_tasks(photos: Path, redis_url: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["celery", "-A", "worker.app", "flower", "--address=127.0.0.1", f"--port={port}"]
    with a_worker(["worker", "start", "--detector", "cascade", "-c", "1"], photos, redis_url):
        flower = start(*command, cwd=photos, MANYEYES_BROKER_URL=redis_url, FLOWER_UNAUTHENTICATED_API="true")
        try:
            wait_until(lambda: seen_by_flower(port, "workers"), what="Flower's list of workers")
            producer("submit", "photos", "--detector", "cascade", cwd=photos, MANYEYES_BROKER_URL=redis_url)
            tasks = wait_until(lambda: seen_by_flower(port, "tasks"), what="Flower's list of tasks")
            assert {task["name"] for task in tasks.values()} == {DETECT_TASK}
        finally:
            flower.kill()
            flower.communicate()


def seen_by_flower(port: int, what: str) -> dict[str, Any]:
    with suppress(OSError, ValueError), urlopen(f"http://127.0.0.1:{port}/api/{what}", timeout=5) as answer:
        found: dict[str, Any] = json.load(answer)
        return found
    return {}


def test_health_looks_at_the_workers_of_this_machine(photos: Path, redis_url: str) -> None:
    def health() -> Said:
        return finish(start("worker", "health", cwd=photos, MANYEYES_BROKER_URL=redis_url))

    assert health().code == 1 and "no worker's heartbeat" in health().error
    with a_worker(["worker", "start", "--detector", "cascade", "-c", "2"], photos, redis_url, processes=2):
        # Its first heartbeat may be from before its processes were up.
        wait_until(lambda: "healthy, 1 worker, 2 processes" in health().out, what="health")
    assert health().code == 1, "it has ended"
    elsewhere = finish(start("worker", "health", cwd=photos, MANYEYES_BROKER_URL="redis://127.0.0.1:1/0"))
    assert elsewhere.code == 1 and "does not answer" in elsewhere.error
