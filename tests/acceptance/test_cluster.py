"""A broker that is there already, and workers that were started by hand."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from common.broker import connect
from common.messages import DETECT_TASK
from tests.acceptance.commands import finish, producer, start
from tests.acceptance.workers import a_worker, live
from tests.unit import pictures


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
    with a_worker(command, photos, redis_url, processes=2) as worker:
        for detector in ("cascade", "hog"):
            said = producer(
                "submit", "photos", "--detector", detector, "--json", cwd=photos, MANYEYES_BROKER_URL=redis_url
            )
            assert said.code == 0 and said.json["ok"] == 5, said.err
        listed = producer("detectors", "--json", cwd=photos, MANYEYES_BROKER_URL=redis_url)
        assert '"cascade-' in listed.out and '"hog-' in listed.out
        worker.send_signal(signal.SIGTERM)
        assert finish(worker).code == 0
    with connect(redis_url) as client:
        assert live(client) == 0, "the processes said goodbye"


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
