"""Run control: pause and go on, stop at too many failures, try failed images again, write lost outputs again."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from common.broker.connect import connect
from common.limits import MAX_DEATHS
from common.protocol import heartbeats
from tests.acceptance.commands import finish, marked, only_run, producer, start
from tests.acceptance.workers import a_worker
from tests.failure import poison
from tests.failure.test_kills import nothing_left, outputs, progress
from tests.waiting import wait_until

IMAGES = 60
BROKEN = 7


@pytest.fixture
def photos(tmp_path: Path) -> poison.Poisoned:
    """Good ones, slowly looked at, and some that are no images."""
    made = poison.make(tmp_path, IMAGES, [], pace_s=0.3)
    for number in range(BROKEN):
        (tmp_path / "photos" / f"broken-{number}.jpg").write_bytes(b"no image at all")
    return made


def submit(made: poison.Poisoned, *options: object, mark: str = "") -> subprocess.Popen[str]:
    everything = ("submit", "photos", "--detector", "poisonable", "-c", 2, "--json", "--shard-size", 5, *options)
    return start("producer", *everything, cwd=made.folder, MANYEYES_TEST_MARK=mark, **made.environment)


@pytest.fixture
def running(photos: poison.Poisoned) -> Iterator[subprocess.Popen[str]]:
    process = submit(photos, mark=photos.folder.name)
    wait_until(lambda: 0 < progress(photos.folder).get("done", 0) < IMAGES // 2, what="a run in its middle")
    yield process
    if process.poll() is None:
        process.kill()
        process.communicate()


def status(cwd: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(producer("status", "--json", cwd=cwd).out)
    return data


def test_a_paused_run_rests_until_it_is_told_to_go_on(running: subprocess.Popen[str], photos: poison.Poisoned) -> None:
    said = producer("pause", cwd=photos.folder)
    assert said.code == 0 and "producer unpause" in said.out, said.err
    paused = status(photos.folder)
    assert (paused["state"], paused["eta_s"]) == ("paused", None)
    # Nobody looks at anything any more; so nothing more is done, however many looks the owner takes.
    looks = progress(photos.folder)["at"] + 2.5
    wait_until(lambda: progress(photos.folder)["at"] > looks, what="a few looks of the owner")
    rested = progress(photos.folder)
    assert rested["images_per_s"] > 0 and rested["eta_s"] is None
    assert "ETA" not in producer("status", cwd=photos.folder).out
    wait_until(lambda: progress(photos.folder)["at"] > looks + 1, what="one more")
    assert progress(photos.folder)["done"] == rested["done"] < IMAGES + BROKEN
    photos.pace(0)
    said = producer("unpause", cwd=photos.folder)
    assert said.code == 0 and "running" in said.out, said.err
    ended = finish(running)
    assert ended.code == 3 and ended.json["ok"] == IMAGES, ended.err
    told = [line for line in ended.err.splitlines() if ": paused, " in line]
    assert told and not any("ETA" in line for line in told)
    refused = producer("pause", cwd=photos.folder)
    assert refused.code == 2 and "done already" in refused.error


def test_pause_without_a_producer_says_what_to_do(running: subprocess.Popen[str], photos: poison.Poisoned) -> None:
    assert producer("pause", cwd=photos.folder).code == 0
    photos.pace(0)
    running.send_signal(signal.SIGINT)
    assert finish(running).code == 130
    refused = producer("unpause", cwd=photos.folder)
    assert refused.code == 2 and "producer resume" in refused.error
    said = producer("resume", "--json", cwd=photos.folder, **photos.environment)
    assert said.code == 3 and said.json["ok"] == IMAGES, said.err


@pytest.mark.parametrize("limit", ["3", "5%"])
def test_a_run_that_goes_wrong_stops_and_goes_on_with_another_limit(limit: str, photos: poison.Poisoned) -> None:
    photos.pace(0.02)
    said = finish(submit(photos, "--max-failures", limit))
    assert said.code == 4 and said.json["state"] == "stopped", said.err
    assert "--max-failures" in said.err and said.json["failed"] > 3
    assert status(photos.folder)["state"] == "stopped"
    again = ("resume", "--json", "--max-failures", "50%")
    said = producer(*again, cwd=photos.folder, **photos.environment)
    assert said.code == 3, said.err
    assert (said.json["ok"], said.json["failed"], said.json["pending"]) == (IMAGES, BROKEN, 0)


def test_as_many_failures_as_allowed_are_allowed(photos: poison.Poisoned) -> None:
    photos.pace(0)
    assert finish(submit(photos, "--max-failures", BROKEN)).code == 3


def test_failed_images_are_tried_again_and_only_they(photos: poison.Poisoned) -> None:
    photos.pace(0)
    assert finish(submit(photos)).json["failed"] == BROKEN
    good = next((photos.folder / "photos" / "000").iterdir())
    for number in range(BROKEN - 1):
        shutil.copy(good, photos.folder / "photos" / f"broken-{number}.jpg")
    said = producer("resume", "--retry-failed", "--json", cwd=photos.folder, **photos.environment)
    assert said.code == 3, said.err
    assert (said.json["ok"], said.json["failed"], said.json["items"]) == (IMAGES + BROKEN - 1, 1, IMAGES + BROKEN)
    figures = json.loads((only_run(photos.folder) / "timings.json").read_text())
    assert figures["images"] == BROKEN, "nothing else was looked at again"
    shutil.rmtree(photos.folder / "runs")
    fresh = finish(submit(photos))
    assert fresh.json["digest"] == said.json["digest"], "as if they had never failed"


def test_a_retry_that_is_interrupted_goes_on(photos: poison.Poisoned) -> None:
    photos.pace(0)
    finish(submit(photos))
    good = next((photos.folder / "photos" / "000").iterdir())
    for number in range(BROKEN):
        shutil.copy(good, photos.folder / "photos" / f"broken-{number}.jpg")
    photos.pace(3)
    retry = start("producer", "resume", "--retry-failed", cwd=photos.folder, **photos.environment)
    wait_until(lambda: status(photos.folder)["state"] == "running", what="the second try")
    retry.send_signal(signal.SIGINT)
    assert finish(retry).code == 130
    photos.pace(0)
    said = producer("resume", "--json", cwd=photos.folder, **photos.environment)
    assert (said.code, said.json["ok"]) == (0, IMAGES + BROKEN), said.err


def test_outputs_that_were_deleted_are_written_again_without_a_worker(photos: poison.Poisoned) -> None:
    photos.pace(0)
    said = finish(submit(photos))
    run = only_run(photos.folder)
    before = outputs(run)
    for name in ("images.parquet", "detections.csv", "preview.jpg"):
        (run / name).unlink()
    (run / "detections.parquet").write_bytes(b"damaged")
    # Not even the detector is known now.
    again = producer("resume", "--json", cwd=photos.folder)
    assert again.code == 3, again.err
    assert outputs(run) == before and (run / "preview.jpg").exists()
    assert {**again.json, "notices": []} == {**said.json, "notices": []}


def test_the_second_interrupt_ends_it_at_once(
    running: subprocess.Popen[str], photos: poison.Poisoned, tmp_path: Path
) -> None:
    """Also where the good order of the first one hangs on something."""
    [supervisor] = [p for p in marked(tmp_path.name) if "supervisor" in str(p.cmdline())]
    supervisor.suspend()
    # Two signals that come together are one: sent until it has ended, which is long before it gives the supervisor up.
    wait_until(lambda: running.send_signal(signal.SIGINT) or running.poll() is not None, what="the end")
    assert finish(running).code == 130
    supervisor.resume()
    nothing_left(tmp_path.name)
    photos.pace(0)
    said = producer("resume", "--json", cwd=photos.folder, **photos.environment)
    assert said.code == 3 and said.json["ok"] == IMAGES, said.err


def test_a_worker_that_is_told_to_end_hands_its_shards_back(photos: poison.Poisoned, redis_url: str) -> None:
    """It doesn't finish a shard that would take minutes, and nobody waits for its heartbeat to fade."""
    photos.pace(0.5)
    broker = {"MANYEYES_BROKER_URL": redis_url, **photos.environment}
    command = ["worker", "start", "--detector", "poisonable", "--concurrency", "1"]
    options = ["--detector", "poisonable", "--json", "--shard-size", IMAGES + BROKEN]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in photos.environment.items():
            patch.setenv(name, value)
        with a_worker(command, photos.folder, redis_url) as worker:
            run = start("producer", "submit", "photos", *options, cwd=photos.folder, **broker)
            with connect(redis_url) as client:
                wait_until(lambda: any(beat.shard_done > 1 for beat in heartbeats.live_processes(client)), what="work")
            worker.terminate()
            wait_until(lambda: worker.poll() is not None, what="the worker's end")
        photos.pace(0)
        with a_worker(command, photos.folder, redis_url):
            said = finish(run)
    assert said.code == 3 and said.json["ok"] == IMAGES, said.err
    assert "its worker gave it back" in said.err


def test_a_process_that_is_told_to_end_blames_no_image(
    tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = poison.make(tmp_path, 1, [])
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    command = ["worker", "start", "--detector", "poisonable", "--concurrency", "1"]
    with a_worker(command, tmp_path, redis_url), connect(redis_url) as client:
        # Longer than it takes to be heard of; a process that comes warms up at this pace too.
        made.pace(1.5)
        options = ("--detector", "poisonable", "--json")
        run = start("producer", "submit", "photos", *options, cwd=tmp_path, MANYEYES_BROKER_URL=redis_url)
        ended: set[int] = set()
        for _ in range(MAX_DEATHS + 1):
            beats = wait_until(
                lambda: [b for b in heartbeats.live_processes(client) if b.item == 0 and b.pid not in ended],
                what="a process at the image",
            )
            if len(ended) == MAX_DEATHS:
                made.pace(0)
            psutil.Process(beats[0].pid).terminate()
            ended.add(beats[0].pid)
        said = finish(run)
    assert said.code == 0 and said.json["ok"] == 1, said.err
    assert "its worker gave it back" in said.err and "died" not in said.err
