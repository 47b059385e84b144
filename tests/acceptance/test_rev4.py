"""What a review found: each was a run lost, or one that never ended."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np
import pytest
import redis

from common.broker import client as client_of
from common.cargo import Cargo
from common.datasets import pack_path
from common.limits import LEASE_LIFE_S, SIGHT_S
from common.sight import Sight
from producer import valkey
from producer.shipper import Shipper
from tests.acceptance.commands import finish, producer
from tests.acceptance.test_transport import World
from tests.failure import poison
from tests.waiting import wait_until
from worker import sight
from worker.roots import Roots


def heavy(folder: Path, count: int) -> None:
    random = np.random.default_rng(0)
    for number in range(count):
        noise = random.integers(0, 256, (200, 200, 3), np.uint8)
        (folder / f"heavy{number:03d}.png").write_bytes(cv2.imencode(".png", noise)[1].tobytes())


class Forgetful:
    """A broker on TCP without a file, as many users' own are: started again it knows nothing."""

    def __init__(self, folder: Path) -> None:
        self._log, self._folder = folder / "valkey.log", folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.url = f"redis://:secret@127.0.0.1:{self._port}/0"
        self._start()

    def _start(self) -> None:
        text = valkey.volatile("127.0.0.1", self._port, "secret", self._folder)
        self._server = valkey.spawn(valkey.server_path(), text, self._log)
        wait_until(lambda: valkey.answers(("127.0.0.1", self._port), "secret"), what="the broker")

    def restart(self) -> None:
        self.end()
        self._start()

    def end(self) -> None:
        self._server.kill()
        self._server.wait()


@pytest.fixture
def forgetful(tmp_path: Path) -> Iterator[Forgetful]:
    broker = Forgetful(tmp_path)
    try:
        yield broker
    finally:
        broker.end()


def test_a_broker_that_forgets_a_full_window(
    tmp_path: Path, forgetful: Forgetful, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = poison.make(tmp_path, 4, [], pace_s=0.05)
    heavy(tmp_path / "photos" / "000", 60)
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


def test_a_run_is_not_published_to_itself(tmp_path: Path) -> None:
    """Its own run.json, which goes first, would be gone, and with it the run."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"no image")
    said = producer("submit", "photos", "--json", "--publish", "./runs", cwd=tmp_path)
    assert said.code == 2 and "--publish ./runs" in said.error
    assert not list(tmp_path.glob("runs/*"))


def test_what_a_firewall_drops_is_not_reached_in_time(client: redis.Redis) -> None:
    """A worker's parent must not be held up by a question that nobody waits for any more."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(server.getsockname())
        port = server.getsockname()[1]
        known = client_of(f"redis://127.0.0.1:{port}/0")
        begun = time.monotonic()
        answer = sight.answer(known, Roots(), pack_path(b"/"), [], str(port))
        assert answer == Sight((), False) and time.monotonic() - begun < SIGHT_S


def test_a_shard_that_waited_for_room_and_ended_otherwise_holds_nothing_up(client: redis.Redis, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).write_bytes(bytes(700_000))
    shipper = Shipper(Cargo(client, "run"), os.fsencode(tmp_path), 1 << 20)
    assert shipper.load(0, [b"a"], 1) == 1
    assert shipper.load_again(1, [b"b"]) == 0
    shipper.unload(1, 1)  # its first attempt was not dead after all
    shipper.unload(0, 1)
    assert shipper.load(2, [b"c"], 1) == 1
    shipper.end()


def test_a_slow_disk_holds_the_owner_up_for_a_moment_only(
    client: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And 64 seconds would be longer than its lease."""

    def slowly(root: bytes, path: bytes) -> bytes:
        time.sleep(1.5)
        return path

    monkeypatch.setattr("common.datasets.fetch", slowly)
    shipper = Shipper(Cargo(client, "run"), os.fsencode(tmp_path), 1 << 20)
    begun = time.monotonic()
    assert shipper.load(0, [b"a"] * 512, 1) == 16
    assert time.monotonic() - begun < LEASE_LIFE_S / 2
    shipper.end()


def test_a_run_that_is_done_does_not_fail_for_cargo_that_cannot_be_cleared(
    tmp_path: Path, forgetful: Forgetful
) -> None:
    with client_of(forgetful.url) as broker:
        shipper = Shipper(Cargo(broker, "run"), os.fsencode(tmp_path), 1 << 20)
        forgetful.end()
        shipper.end()
