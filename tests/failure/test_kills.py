"""Kills and interruptions of a real run: the tables come out the same bytes all the same."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import pytest

from tests.acceptance.commands import Said, finish, marked, only_run, producer, start
from tests.waiting import wait_until

#: What must be the same bytes whatever happened on the way.
SAME = ("images.parquet", "detections.parquet", "detections.coco.json", "detections.csv", "dataset.coco.json")
#: Enough work for hog that a kill finds the run in its middle.
IMAGES = 120
#: Enough for every shard size to make several shards, or one.
FEW = 40


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `photos/`: noise in which hog finds this and that."""
    folder = tmp_path_factory.mktemp("world")
    (folder / "photos").mkdir()
    random = np.random.default_rng(0)
    for number in range(IMAGES):
        small = random.integers(0, 256, (60, 80, 3), np.uint8)
        image = cv2.resize(small, (640, 480), interpolation=cv2.INTER_CUBIC)
        (folder / "photos" / f"{number:03d}.jpg").write_bytes(cv2.imencode(".jpg", image)[1].tobytes())
    return folder


@pytest.fixture(scope="module")
def quiet(world: Path) -> dict[str, bytes]:
    """The outputs of an undisturbed run of one process."""
    said = producer("submit", "photos", "--json", "--output", "quiet", "-c", "1", cwd=world)
    assert said.code == 0, said.err
    return outputs(Path(world / said.json["run_dir"]))


@pytest.fixture(scope="module")
def quiet_few(world: Path) -> dict[str, bytes]:
    """The same for the first few images."""
    said = producer("submit", "photos", "--json", "--output", "few", "-c", "1", "--limit", FEW, cwd=world)
    assert said.code == 0, said.err
    return outputs(Path(world / said.json["run_dir"]))


def outputs(run: Path) -> dict[str, bytes]:
    return {name: (run / name).read_bytes() for name in SAME}


@pytest.fixture
def here(world: Path, tmp_path: Path) -> Path:
    (tmp_path / "photos").symlink_to(world / "photos", target_is_directory=True)
    return tmp_path


@pytest.fixture
def running(here: Path) -> Iterator[subprocess.Popen[str]]:
    """A run that has begun to store results, and has not ended."""
    process = start("producer", "submit", "photos", "--json", "-c", "2", cwd=here, MANYEYES_TEST_MARK=here.name)
    # A process that is not there yet has no shard to lose.
    wait_until(
        lambda: 0 < progress(here).get("done", 0) < IMAGES // 2 and progress(here)["processes"] == 2,
        what="a run in its middle",
    )
    yield process
    if process.poll() is None:
        process.kill()
        process.communicate()


def progress(cwd: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        [run] = (cwd / "runs").iterdir()
        data: dict[str, Any] = json.loads((run / "progress.json").read_text())
        return data
    return {}


def pool_processes(mark: str) -> list[psutil.Process]:
    """The pool processes of the run's local worker."""
    workers = [p for p in marked(mark) if "worker.cli" in " ".join(p.cmdline())]
    return [p for p in workers if p.ppid() in {w.pid for w in workers}]


def nothing_left(mark: str) -> None:
    wait_until(lambda: not marked(mark), what="the end of all processes of the run")


@pytest.mark.parametrize(
    "options", [["-c", "2"], ["-c", "2", "--shard-size", "1"], ["--shard-size", "7"], ["-c", "1", "--shard-size", "64"]]
)
def test_workers_and_shard_sizes_change_no_byte(options: list[str], here: Path, quiet_few: dict[str, bytes]) -> None:
    assert producer("submit", "photos", *options, "--limit", FEW, cwd=here).code == 0
    assert outputs(only_run(here)) == quiet_few


def test_a_killed_process_changes_no_byte(running: subprocess.Popen[str], here: Path, quiet: dict[str, bytes]) -> None:
    pool_processes(here.name)[0].kill()
    said = finish(running)
    assert said.code == 0, said.err
    assert "the image is tried alone" in said.err or "sent again" in said.err
    assert outputs(only_run(here)) == quiet
    nothing_left(here.name)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_is_resumed(
    how: signal.Signals, running: subprocess.Popen[str], here: Path, quiet: dict[str, bytes]
) -> None:
    running.send_signal(how)
    said = finish(running)
    assert said.code == 130 and "producer resume" in said.err, said.err
    nothing_left(here.name)
    assert json.loads(producer("status", "--json", cwd=here).out)["state"] == "interrupted"
    elsewhere = here / "elsewhere"
    elsewhere.mkdir()
    check_resumed(producer("resume", only_run(here), "--json", cwd=elsewhere), here, quiet)
    assert json.loads((only_run(here) / "run.json").read_text())["listing"]["items"] == IMAGES


def test_a_killed_producer_leaves_nothing_behind_and_is_resumed(
    running: subprocess.Popen[str], here: Path, quiet: dict[str, bytes]
) -> None:
    running.kill()
    running.communicate()
    nothing_left(here.name)
    check_resumed(producer("resume", "--json", cwd=here), here, quiet)


def check_resumed(said: Said, here: Path, quiet: dict[str, bytes]) -> None:
    assert said.code == 0, said.err
    assert (said.json["state"], said.json["items"], said.json["ok"]) == ("done", IMAGES, IMAGES)
    assert outputs(only_run(here)) == quiet


def test_a_second_owner_is_refused(running: subprocess.Popen[str], here: Path) -> None:
    refused = producer("resume", cwd=here)
    assert refused.code == 1 and "live owner" in refused.error
    running.send_signal(signal.SIGINT)
    finish(running)


def test_a_cancelled_run_stops_and_stays_so(running: subprocess.Popen[str], here: Path) -> None:
    said = producer("cancel", cwd=here)
    assert said.code == 0 and "cancelled" in said.out, said.err
    ended = finish(running)
    assert ended.code == 5 and ended.json["state"] == "cancelled"
    assert ended.json["pending"] > 0 and ended.json["ok"] + ended.json["pending"] == IMAGES
    refused = producer("resume", cwd=here)
    assert refused.code == 2 and "cancelled" in refused.error
    nothing_left(here.name)


def test_an_interrupted_run_can_be_cancelled(running: subprocess.Popen[str], here: Path) -> None:
    running.send_signal(signal.SIGINT)
    finish(running)
    # A broker that is set, and down, is none of its own.
    said = producer("cancel", cwd=here, MANYEYES_BROKER_URL="redis://127.0.0.1:1/0")
    assert said.code == 0, said.err
    status = json.loads(producer("status", "--json", cwd=here).out)
    assert status["state"] == "cancelled" and status["items"] == IMAGES and 0 < status["done"] < IMAGES


@pytest.mark.parametrize("what", ["valkey-server", "worker.cli"])
def test_without_its_broker_or_worker_a_run_ends_in_one_line_and_is_resumed(
    what: str, running: subprocess.Popen[str], here: Path, quiet: dict[str, bytes]
) -> None:
    in_order = sorted(marked(here.name), key=lambda process: process.create_time())
    next(process for process in in_order if what in " ".join(process.cmdline())).kill()
    said = finish(running)
    assert said.code == 1 and "producer resume" in said.error, said.err
    nothing_left(here.name)
    check_resumed(producer("resume", "--json", cwd=here), here, quiet)
