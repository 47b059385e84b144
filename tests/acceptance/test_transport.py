"""Workers that do not see the dataset: images reach them through Redis, within a bound, and the tables are the same."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
import redis

from common.broker.connect import connect
from tests.acceptance.brokers import Forgetful
from tests.acceptance.commands import Said, finish, marked, only_run, producer, start
from tests.acceptance.hubs import ON_FREE_PORTS, TestHub
from tests.acceptance.workers import a_worker
from tests.failure import poison
from tests.waiting import wait_until

#: What must be the same bytes whichever way the images took.
SAME = ("images.parquet", "detections.parquet", "detections.coco.json", "detections.csv", "dataset.coco.json")
IMAGES = 120
#: Bytes that one image has at least: noise does not compress.
HEAVY = 100_000


class World:
    """A dataset, and workers that see it or do not."""

    def __init__(self, folder: Path, url: str, workers_url: str | None = None) -> None:
        self.folder, self.url, self._workers_url = folder, url, workers_url or url
        (folder / "empty").mkdir()
        self._stack = ExitStack()

    def worker(
        self, name: str, *options: str, sees: bool, processes: int = 1, roots: str | None = None
    ) -> subprocess.Popen[str]:
        """Which does not see is told that the dataset lies in an empty folder."""
        home = self.folder / name
        home.mkdir()
        command = ["worker", "start", "--detector", "poisonable", "-c", str(processes), *options]
        blind = [] if sees else ["--map", f"{self.folder}/photos={self.folder}/empty"]
        with_others = self._others + processes
        below = {"MANYEYES_ROOTS": str(self.folder) if roots is None else roots}
        worker = self._stack.enter_context(a_worker([*command, *blind], home, self._workers_url, with_others, **below))
        self._others = with_others
        return worker

    _others = 0

    def submit(self, *options: object) -> subprocess.Popen[str]:
        command = ("submit", "photos", "--detector", "poisonable", "--json", *options)
        return start("producer", *command, cwd=self.folder, MANYEYES_BROKER_URL=self.url)

    def stored(self) -> int:
        try:
            return int(json.loads((only_run(self.folder) / "progress.json").read_text())["stored"])
        except (OSError, ValueError):
            return 0

    def end(self) -> None:
        self._stack.close()


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> poison.Poisoned:
    made = poison.make(tmp_path, IMAGES, [], pace_s=0.01)
    (tmp_path / "photos" / "000" / "broken.jpg").write_bytes(b"no image")
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    return made


@pytest.fixture
def world(made: poison.Poisoned, redis_url: str) -> Iterator[World]:
    world = World(made.folder, redis_url)
    try:
        yield world
    finally:
        world.end()


@pytest.fixture
def quiet(made: poison.Poisoned) -> dict[str, bytes]:
    """The outputs of a run on this machine alone."""
    said = producer("submit", "photos", "--detector", "poisonable", "--json", "--output", "quiet", cwd=made.folder)
    assert said.code == 3, said.err
    return outputs(made.folder / said.json["run_dir"])


def outputs(run: Path) -> dict[str, bytes]:
    return {name: (run / name).read_bytes() for name in SAME}


def sent_again(run: Path) -> dict[str, int]:
    found: dict[str, int] = json.loads((run / "timings.json").read_text())["sent_again"]
    return found


def nothing_left(client: redis.Redis) -> None:
    assert client.keys("manyeyes:cargo:*") == []


def check(said: Said, world: World, quiet: dict[str, bytes], client: redis.Redis) -> None:
    assert said.code == 3 and said.json["failed"] == 1, said.err
    assert outputs(only_run(world.folder)) == quiet
    nothing_left(client)


def test_workers_are_asked_and_images_shipped_to_those_that_see_none(
    world: World, quiet: dict[str, bytes], client: redis.Redis
) -> None:
    world.worker("seeing", sees=True)
    world.worker("blind", sees=False)
    said = finish(world.submit())
    check(said, world, quiet, client)
    assert "cannot read the images: they go through Redis" in said.err
    assert sum(sent_again(only_run(world.folder)).values()) == 0
    both = pq.read_table(only_run(world.folder) / "timings.parquet", columns=["worker"])["worker"].unique()
    assert len(both) == 2


def test_where_all_see_the_files_nothing_is_shipped(world: World, quiet: dict[str, bytes], client: redis.Redis) -> None:
    world.worker("seeing", sees=True)
    process = world.submit()
    wait_until(lambda: world.stored() > 0, what="first results")
    nothing_left(client)
    assert client.hget(f"manyeyes:run:{only_run(world.folder).name}", "cargo") == b""
    said = finish(process)
    check(said, world, quiet, client)
    assert "through Redis" not in said.err


def test_a_blind_worker_that_joins_later_makes_the_run_ship(
    world: World, made: poison.Poisoned, quiet: dict[str, bytes], client: redis.Redis
) -> None:
    made.pace(0.1)
    world.worker("seeing", sees=True)
    process = world.submit("--shard-size", 3)
    wait_until(lambda: world.stored() > 0, what="first results")
    world.worker("blind", sees=False)
    said = finish(process)
    check(said, world, quiet, client)
    assert "images go through Redis from now on" in said.err
    assert sent_again(only_run(world.folder))["not_loaded"] > 0, "what was open was not loaded"


def test_to_workers_without_a_root_images_are_shipped(
    world: World, quiet: dict[str, bytes], client: redis.Redis
) -> None:
    world.worker("closed", sees=True, roots="")
    said = finish(world.submit("--transport", "path"))
    assert said.code == 1 and "may not read" in said.error and "--root" in said.error and "--transport" in said.error
    asked = ("resume", "--transport", "auto", "--json")
    again = producer(*asked, cwd=world.folder, MANYEYES_BROKER_URL=world.url)
    check(again, world, quiet, client)
    [note] = [line for line in again.err.splitlines() if "may not read the images" in line]
    assert f"worker start --root {world.folder}/photos" in note


def test_a_link_that_leads_out_of_the_roots_is_the_owners_to_follow(
    world: World, made: poison.Poisoned, client: redis.Redis
) -> None:
    """The tables are what they are on one machine alone, however the images fall into shards."""
    inside = sorted((world.folder / "photos").rglob("*.jpg"))[-1]
    inside.rename(world.folder / "elsewhere.jpg")
    inside.symlink_to(world.folder / "elsewhere.jpg")
    said = producer("submit", "photos", "--detector", "poisonable", "--json", "--output", "quiet", cwd=world.folder)
    world.worker("rooted", sees=True, roots=f"{world.folder}/photos")
    shipped = finish(world.submit())
    check(shipped, world, outputs(world.folder / said.json["run_dir"]), client)
    assert "it has no --root above it" in shipped.err and "images go through Redis from now on" in shipped.err


def test_a_run_that_was_to_go_by_path_is_resumed_another_way(
    world: World, quiet: dict[str, bytes], client: redis.Redis
) -> None:
    world.worker("blind", sees=False)
    said = finish(world.submit("--transport", "path"))
    assert said.code == 1 and "does not see" in said.error and "--transport auto" in said.error
    again = ("resume", "--transport", "redis", "--ship-window", "7", "--json")
    check(producer(*again, cwd=world.folder, MANYEYES_BROKER_URL=world.url), world, quiet, client)
    kept = json.loads((only_run(world.folder) / "run.json").read_text())["transport"]
    assert kept == {"way": "redis", "window": 7 << 20}


@pytest.mark.parametrize("when", ["cargo", "all", "owner"])
def test_cargo_that_is_lost_is_loaded_again(
    when: str, world: World, made: poison.Poisoned, quiet: dict[str, bytes], client: redis.Redis
) -> None:
    made.pace(0.05)
    world.worker("blind", sees=False)
    process = world.submit("--shard-size", 20)
    wait_until(lambda: world.stored() > 0, what="first results")
    if when == "cargo":
        client.delete(f"manyeyes:cargo:{only_run(world.folder).name}")
    elif when == "all":
        client.flushall()
    else:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        process = start("producer", "resume", "--json", cwd=world.folder, MANYEYES_BROKER_URL=world.url)
    said = finish(process)
    check(said, world, quiet, client)
    if when == "cargo":
        assert sent_again(only_run(world.folder))["not_loaded"] > 0
        assert set(sent_again(only_run(world.folder))) == {"not_loaded"}, "nobody is blamed"


def test_what_is_in_redis_keeps_within_the_window(world: World, made: poison.Poisoned, client: redis.Redis) -> None:
    make_heavy(world.folder / "photos" / "000", 100)
    world.worker("blind", sees=False, processes=2)
    empty = used(client)
    process = world.submit("--ship-window", 1)
    most = 0
    while process.poll() is None:
        most = max(most, used(client) - empty)
    said = finish(process)
    assert said.code == 3 and said.json["ok"] == IMAGES + 100, said.err
    nothing_left(client)
    assert HEAVY < most < 2_000_000, "a megabyte of images, and what else a run has there"
    assert 5 * most < 100 * HEAVY, "of so many"


def used(client: redis.Redis) -> int:
    info: Any = client.info("memory")
    return int(info["used_memory"])


@pytest.fixture
def forgetful(tmp_path: Path) -> Iterator[Forgetful]:
    broker = Forgetful(tmp_path)
    yield broker
    broker.end()


def test_a_broker_that_forgets_a_full_window(
    tmp_path: Path, forgetful: Forgetful, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = poison.make(tmp_path, 4, [], pace_s=0.05)
    make_heavy(tmp_path / "photos" / "000", 60)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    world = World(tmp_path, forgetful.url)
    process = None
    try:
        world.worker("blind", sees=False)
        process = world.submit("--ship-window", 1, "--shard-size", 2)
        wait_until(lambda: world.stored() > 6, what="first results")
        forgetful.restart()
        said = finish(process)
        assert said.code == 0 and said.json["ok"] == 64, said.err
    finally:
        if process is not None and process.poll() is None:
            process.kill()
            process.communicate()
        world.end()


def make_heavy(folder: Path, count: int) -> None:
    random = np.random.default_rng(0)
    for number in range(count):
        noise = random.integers(0, 256, (200, 200, 3), np.uint8)
        (folder / f"heavy{number:03d}.png").write_bytes(cv2.imencode(".png", noise)[1].tobytes())


def test_a_hubs_file_holds_no_image(made: poison.Poisoned) -> None:
    """They go through its second server, which keeps nothing, and may be killed."""
    random = np.random.default_rng(0)
    for path in (made.folder / "photos" / "000").iterdir():
        noise = random.integers(0, 256, (200, 200, 3), np.uint8)
        path.write_bytes(cv2.imencode(".png", noise)[1].tobytes())
    made.pace(0.05)
    hub = TestHub(made.folder)
    try:
        hub.up(*ON_FREE_PORTS, "--no-flower", "--no-workers")
        world = World(made.folder, hub.url, hub.join_url)
        world.worker("blind", sees=False)
        process = world.submit()
        wait_until(lambda: world.stored() > 0, what="first results")
        hub.kill("cargo")
        said = finish(process)
        assert said.code == 0 and said.json["ok"] == IMAGES + 1, said.err
        kept = sum(file.stat().st_size for file in (hub.folder.path / "valkey").rglob("*") if file.is_file())
        assert kept < IMAGES * HEAVY / 10
        with connect(hub.url) as client:
            client.set("manyeyes:cargo-port", 1)
        refused = finish(world.submit())
        assert refused.code == 2 and "does not reach port 1" in refused.error and "producer resume" in refused.error
        world.end()
    finally:
        hub.producer("down")
    assert marked(hub.mark) == []


def test_a_way_that_cannot_be_is_one_line(tmp_path: Path, made: poison.Poisoned) -> None:
    for options, words in (
        (("--transport", "pigeon"), "auto, path, redis, url"),
        (("--transport", "url"), "datasets that are URLs"),
    ):
        said = producer("submit", "photos", *options, cwd=tmp_path)
        assert said.code == 2 and words in said.error, said.err
    assert not (tmp_path / "runs").exists()
