"""The bytes of open shards' images: what is loaded, what waits, and that nothing holds the owner up."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from common.broker.connect import client as client_of
from common.datasets import pack_path
from common.errors import ItemError
from common.limits import LEASE_LIFE_S, SIGHT_S
from common.protocol.file_probe import Sight
from common.protocol.relay import ON_BROKER, Cargo, NotLoaded
from producer.relay.shipper import Shipper
from tests.acceptance.brokers import Forgetful
from tests.waiting import wait_until
from worker.reading import file_probe
from worker.reading.roots import Roots


@pytest.fixture
def shipper(client: redis.Redis, tmp_path: Path) -> Iterator[Shipper]:
    """A megabyte of room, for three files of 700 kB."""
    for name in ("a", "b", "c"):
        (tmp_path / name).write_bytes(name.encode() * 700_000)
    shipper = Shipper(Cargo(client, "run"), os.fsencode(tmp_path), 1 << 20)
    yield shipper
    shipper.end()
    assert client.keys("manyeyes:cargo:*") == []


def test_what_is_loaded_is_there_and_so_is_why_it_cannot_be(
    shipper: Shipper, client: redis.Redis, tmp_path: Path
) -> None:
    (tmp_path / "x").write_bytes(b"x" * 300_000)
    assert shipper.load(0, [b"x", b"missing", b"a"], 1) == 2, "the third would be too much for one shard"
    cargo = Cargo(client, "run")
    assert cargo.fetch(0) == b"x" * 300_000
    with pytest.raises(ItemError, match="no such file"):
        cargo.fetch(1)
    with pytest.raises(NotLoaded):
        cargo.fetch(2)
    assert shipper.load(2, [b"a"], 1) == 1
    assert shipper.load(3, [b"b"], 1) == 0, "a megabyte is full"
    shipper.unload(0, 3)
    assert shipper.load(3, [b"b"], 1) == 1


def test_an_image_larger_than_the_window_goes_alone(client: redis.Redis, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(2 << 20))
    (tmp_path / "small").write_bytes(b"small")
    shipper = Shipper(Cargo(client, "run"), os.fsencode(tmp_path), 1 << 20)
    assert shipper.load(0, [b"large", b"small"], 1) == 1
    assert shipper.load(1, [b"small"], 1) == 0
    shipper.unload(0, 1)
    assert shipper.load(1, [b"small"], 1) == 1
    shipper.end()


def test_a_shard_that_waited_for_room_and_ended_otherwise_holds_nothing_up(shipper: Shipper) -> None:
    assert shipper.load(0, [b"a"], 1) == 1
    assert shipper.load_again(1, [b"b"]) == 0
    assert shipper.load(2, [b"c"], 1) == 0, "an open shard goes before"
    shipper.unload(1, 1)  # its first attempt was not dead after all
    shipper.unload(0, 1)
    assert shipper.load(2, [b"c"], 1) == 1


def test_what_hangs_does_not_hold_the_owner_up(shipper: Shipper, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lease is short. What was read meanwhile is not read again."""
    ready, read = threading.Event(), []

    def slowly(root: bytes, path: bytes, allowed: None) -> bytes:
        read.append(path)
        if path == b"b":
            ready.wait()
        return path

    monkeypatch.setattr("common.datasets.fetch", slowly)
    begun = time.monotonic()
    assert shipper.load(0, [b"a", b"b", b"c"], 1) == 1, "what comes before it"
    assert shipper.load(1, [b"b", b"c"], 1) == 0
    assert time.monotonic() - begun < LEASE_LIFE_S
    ready.set()
    wait_until(lambda: shipper.load(1, [b"b", b"c"], 1) == 2, what="the rest")
    assert sorted(read) == [b"a", b"b", b"c"]


def test_what_was_sent_too_late_for_its_shard_takes_no_room_from_an_open_one(
    shipper: Shipper, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sending takes its time too: whoever asked comes again, unless another goes before."""
    ready, load = threading.Event(), Cargo.load

    def slowly(self: Cargo, items: dict[int, bytes | ItemError]) -> None:
        ready.wait()
        load(self, items)

    monkeypatch.setattr(Cargo, "load", slowly)
    assert shipper.load(0, [b"a"], 1) == 0
    assert shipper.load_again(1, [b"b"]) == 0
    ready.set()
    wait_until(lambda: shipper.load_again(1, [b"b"]) == 1, what="the open shard")
    assert client.hkeys("manyeyes:cargo:run") == [b"1"]


def test_a_run_that_is_done_does_not_fail_for_cargo_that_cannot_be_cleared(tmp_path: Path) -> None:
    forgetful = Forgetful(tmp_path)
    with client_of(forgetful.url) as broker:
        shipper = Shipper(Cargo(broker, "run"), os.fsencode(tmp_path), 1 << 20)
        forgetful.end()
        shipper.end()


def test_questions_about_a_disk_that_hangs_leave_one_thread(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The way to the cargo is told all the same: images come by it."""
    ready = threading.Event()
    monkeypatch.setattr(file_probe, "SIGHT_S", 0.4)
    monkeypatch.setattr(file_probe, "look", lambda files, read: (ready.wait(), ("x",))[1])
    try:
        for _ in range(3):
            assert file_probe.answer(client, Roots(), "/", ["a"], ON_BROKER) == Sight((None,), True)
        assert [thread.name for thread in threading.enumerate()].count("sight") == 1
        assert caplog.text.count("hangs still (sight)") == 2 and "(reach)" not in caplog.text
    finally:
        ready.set()
    wait_until(lambda: file_probe.answer(client, Roots(), "/", ["a"], ON_BROKER).seen == ("x",), what="the disk")


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
        answer = file_probe.answer(known, Roots(), pack_path(b"/"), [], str(port))
        assert answer == Sight((), False) and time.monotonic() - begun < SIGHT_S
