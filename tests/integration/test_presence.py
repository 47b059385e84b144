"""What a heartbeat says and brings back: whether the run goes on, and whether anybody needs the shard."""

from __future__ import annotations

import pytest
import redis

from common import __version__
from common.protocol import heartbeats
from common.protocol.heartbeats import Beat
from common.protocol.ledger import Ledger, RunState
from common.protocol.messages import ShardId
from tests.waiting import wait_until
from worker.intake.rejection_counter import Refusals
from worker.pool.local_health import Beacon
from worker.pool.shared_state import Recorder
from worker.pool.watchdog import Post, Warden

RUN, SHARD = "20260101-000000-abcdefgh", ShardId(0, 10, 4)
AT_IT = Beat("w/1", "w", "here", 1, ("hog-1234",), RUN, str(SHARD), item=11, shard_done=1)


@pytest.fixture
def ledger(client: redis.Redis) -> Ledger:
    ledger = Ledger(client, RUN)
    ledger.reserve({"spec": "{}", "spec_digest": "d"})
    ledger.set_state(RunState.RUNNING)
    ledger.open(ledger.lease(None), SHARD, b"a\0b\0c\0d")
    return ledger


def test_a_heartbeat_brings_the_state_of_its_run(ledger: Ledger) -> None:
    assert heartbeats.beat(ledger.client, AT_IT, ()) == "running"
    ledger.set_state(RunState.PAUSED)
    assert heartbeats.beat(ledger.client, AT_IT, ()) == "paused"
    ledger.client.flushall()
    assert heartbeats.beat(ledger.client, AT_IT, ()) == "closed"


def test_a_slow_process_learns_that_another_was_first(ledger: Ledger) -> None:
    ledger.commit(SHARD, b"result")
    assert heartbeats.beat(ledger.client, AT_IT, ()) == "closed"


def test_a_process_learns_that_its_shard_was_split_or_collected(ledger: Ledger) -> None:
    ledger.client.delete(f"manyeyes:lease:{RUN}")
    ledger.free(ledger.lease(None), SHARD)
    assert heartbeats.beat(ledger.client, AT_IT, ()) == "closed"


def test_an_idle_process_asks_for_nothing(ledger: Ledger) -> None:
    assert heartbeats.beat(ledger.client, Beat("w/1", "w", "here", 1, ("hog-1234",)), ()) is None


def test_a_worker_says_which_manyeyes_it_is(client: redis.Redis) -> None:
    beacon = Beacon("w")
    warden = Warden(client, Recorder(), Post("w", 1, 0, ("hog-1234",)), Refusals(), beacon)
    warden.start()
    try:
        wait_until(lambda: [beat.version for beat in heartbeats.live_workers(client)] == [__version__], what="its word")
    finally:
        warden.end()
        beacon.end()
