"""An owner's parts on a real broker: who may write, and whom a lost heartbeat blames."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest
import redis

from common.broker.connect import celery_app
from common.errors import FencedError, ItemCode
from common.limits import LEASE_LIFE_S, MAX_DEATHS
from common.protocol import heartbeats
from common.protocol.heartbeats import Beat, WorkerBeat
from common.protocol.ledger import Ledger, RunState
from common.protocol.messages import ItemRecord, ShardId, ShardMessage, ShardResult
from common.protocol.spec import Spec
from producer.relay.carriage import Carriage
from producer.relay.transport import Transport, Way
from producer.rundir.journal import Journal
from producer.rundir.manifest import Manifest
from producer.scheduler.collect import Collector, Tally
from producer.scheduler.dispatch import Dispatcher, Target
from producer.scheduler.live_processes import Connection, Crew
from producer.scheduler.overdue import Overdue, Reconciler, Why
from producer.scheduler.recovery import Remedy

RUN, QUEUE = "20260101-000000-abcdefgh", "hog-1234"
ONE = ShardId(0, 0, 1)
SPEC = Spec(
    datasets=("photos",),
    root="/photos",
    detector="hog",
    detector_digest="1" * 64,
    queue=QUEUE,
    labels=("person",),
    conf=0.5,
    iou=0.5,
    floor=0.1,
)


@pytest.fixture
def ledger(client: redis.Redis) -> Ledger:
    ledger = Ledger(client, RUN)
    ledger.reserve({"spec": SPEC.to_text(), "spec_digest": SPEC.digest})
    ledger.set_state(RunState.RUNNING)
    return ledger


def test_a_fenced_out_owner_writes_nothing(ledger: Ledger, client: redis.Redis, tmp_path: Path) -> None:
    slept = ledger.lease(None)
    ledger.open(slept, ONE, b"a.jpg")
    result = ShardResult(ONE, 1, "w", 1, (ItemRecord(),), ShardResult.no_detections())
    ledger.commit(ONE, result.encode())
    client.delete(f"manyeyes:lease:{RUN}")
    assert ledger.lease(None) > slept
    journal = Journal(tmp_path / "j")
    with pytest.raises(FencedError):
        Collector(ledger, slept, journal, Tally(), lambda item: b"/photos/a.jpg").collect([ONE])
    assert (tmp_path / "j").stat().st_size == 0


class Bench:
    """One image alone in a shard, and the process that has it, gone again and again."""

    def __init__(self, redis_url: str, client: redis.Redis, ledger: Ledger, folder: Path) -> None:
        self.client, self.ledger = client, ledger
        manifest = Manifest(folder / "manifest")
        manifest.append_all([b"a.jpg"])
        app = celery_app(redis_url)
        token = ledger.lease(None)
        target = Target(app, ledger, token, SPEC, "--detector hog")
        self.crew = Crew(Connection(client, app), QUEUE, RUN, embedded=False)
        carriage = Carriage(ledger, b"/", Transport(), Way.PATH)
        dispatcher = Dispatcher(target, manifest, Journal(folder / "j"), carriage, 0.1, None)
        dispatcher.fill(1)
        self.remedy = Remedy(target, dispatcher, self.crew, Counter())

    def lose_it(self, pid: int, with_its_worker: bool) -> Overdue:
        """The shard is claimed, and its process is not heard of any more."""
        [shard] = self.ledger.open_shards()
        process = f"w/{pid}"
        message = ShardMessage(RUN, ONE, shard.attempt, SPEC.digest)
        assert self.ledger.claim(message, process).status == "ok"
        beat = Beat(process, "w", "here", pid, (QUEUE,), RUN, str(ONE), item=0)
        heartbeats.beat(self.client, beat, ())
        heartbeats.worker_beat(self.client, WorkerBeat("w", "here", 1, (QUEUE,), 1, 1, 0.0))
        self.crew.look()
        heartbeats.leave(self.client, process)
        if with_its_worker:
            heartbeats.worker_leave(self.client, "w")
        self.crew.look()
        [overdue] = Reconciler().overdue(
            self.ledger.open_shards(), self.crew.at(), self.crew.waiting, self.ledger.now()
        )
        assert overdue.why is Why.LOST
        return overdue

    @property
    def given_up(self) -> bool:
        [shard] = self.ledger.open_shards()
        return shard.committed is not None


@pytest.fixture
def bench(redis_url: str, client: redis.Redis, ledger: Ledger, tmp_path: Path) -> Bench:
    return Bench(redis_url, client, ledger, tmp_path)


def test_three_machines_that_vanish_at_one_image_are_its_deaths(bench: Bench, ledger: Ledger) -> None:
    for pid in range(MAX_DEATHS):
        assert not bench.given_up
        bench.remedy.apply(bench.lose_it(pid, with_its_worker=True))
    [payload] = ledger.results([ONE])
    assert payload is not None and ShardResult.decode(payload).records[0].error_code == ItemCode.CRASHED


def test_heartbeats_that_the_broker_lost_blame_no_image(bench: Bench) -> None:
    for pid in range(2 * MAX_DEATHS):
        bench.remedy.apply(bench.lose_it(pid, with_its_worker=True), blame=False)
    assert not bench.given_up


def test_a_process_that_its_living_worker_does_not_miss_blames_no_image(bench: Bench) -> None:
    for pid in range(2 * MAX_DEATHS):
        overdue = bench.lose_it(pid, with_its_worker=False)
        assert bench.crew.undecided(f"w/{pid}"), "its worker is about to say why"
        bench.remedy.apply(overdue)
    assert not bench.given_up


def test_an_owner_of_thousands_of_processes_looks_up_while_it_sends(
    redis_url: str, client: redis.Redis, ledger: Ledger, tmp_path: Path
) -> None:
    manifest, images = Manifest(tmp_path / "manifest"), 20_000
    manifest.append_all(b"%05d.jpg" % number for number in range(images))
    target = Target(celery_app(redis_url), ledger, ledger.lease(None), SPEC, "--detector hog")
    carriage = Carriage(ledger, b"/", Transport(), Way.PATH)
    dispatcher = Dispatcher(target, manifest, Journal(tmp_path / "j"), carriage, 0.1, shard_size=1)
    begun = time.monotonic()
    assert dispatcher.fill(processes=images), "the window takes more"
    # The lease lasts 10 s, and 20,000 shards take longer.
    assert time.monotonic() - begun < LEASE_LIFE_S / 2
    first = len(ledger.open_shards())
    assert 0 < first < images and dispatcher.hungry
    dispatcher.fill(processes=images)
    assert len(ledger.open_shards()) > first
