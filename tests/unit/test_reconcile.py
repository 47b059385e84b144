"""Which shards are overdue, and which are not."""

from __future__ import annotations

from dataclasses import replace

from common.limits import HEARTBEAT_LIFE_S, OVERDUE_S
from common.protocol.ledger import Fate, OpenShard
from common.protocol.messages import ShardId
from producer.scheduler.overdue import Reconciler, Why

NOW = 1000.0
SHARD = OpenShard(ShardId(0, 0, 5), 1, NOW - 60, None, None, None)


def overdue(
    reconciler: Reconciler, *shards: OpenShard, queued: int = 1, now: float = NOW, at_hand: ShardId = SHARD.shard
) -> list[tuple[int, Why]]:
    found = reconciler.overdue(shards, {"w/1": str(at_hand)}, lambda: queued, now)
    return [(one.shard.shard.first, one.why) for one in found]


def test_a_shard_of_a_live_process_may_take_its_time() -> None:
    claimed = replace(SHARD, claimed_by="w/1", claimed=NOW - 3000)
    assert overdue(Reconciler(), claimed) == []


def test_a_shard_that_its_live_process_has_dropped_is_overdue() -> None:
    """Its commit did not get through: the process lives and looks at something else."""
    dropped = replace(SHARD, shard=ShardId(0, 5, 5), claimed_by="w/1", claimed=NOW - HEARTBEAT_LIFE_S - 1)
    assert overdue(Reconciler(), dropped) == [(5, Why.DROPPED)]
    assert overdue(Reconciler(), replace(dropped, claimed=NOW - HEARTBEAT_LIFE_S + 1)) == []


def test_a_shard_of_a_dead_process_is_overdue_at_once() -> None:
    claimed = replace(SHARD, claimed_by="w/2", claimed=NOW - 1)
    assert overdue(Reconciler(), claimed) == [(0, Why.LOST)]


def test_what_a_worker_says_of_a_claim_counts_at_once() -> None:
    """Also while the dead process's heartbeat still stands."""
    claimed = replace(SHARD, claimed_by="w/1", claimed=NOW - 1)
    for fate, why in (
        (Fate.CRASHED, Why.DIED),
        (Fate.TIMEOUT, Why.DIED),
        (Fate.OUT_OF_MEMORY, Why.DIED),
        (Fate.HANDED_BACK, Why.HANDED_BACK),
    ):
        assert overdue(Reconciler(), replace(claimed, fate=fate)) == [(0, why)]


def test_a_clock_that_jumped_makes_all_overdue_that_nobody_is_at() -> None:
    at_hand = replace(SHARD, claimed_by="w/1", claimed=NOW + 3000)
    waits = replace(SHARD, shard=ShardId(0, 5, 5), sent=NOW + 3000)
    found = Reconciler().overdue([at_hand, waits], {"w/1": str(SHARD.shard)}, lambda: 1, NOW, jumped=True)
    assert [(one.shard, one.why) for one in found] == [(waits, Why.CLOCK)]


def test_a_committed_shard_is_never_overdue() -> None:
    assert overdue(Reconciler(), replace(SHARD, claimed_by="w/2", claimed=NOW - 1, committed=NOW)) == []


def test_a_shard_that_waits_in_a_queue_is_not_overdue() -> None:
    reconciler = Reconciler()
    assert overdue(reconciler, SHARD) == []
    assert overdue(reconciler, SHARD, now=NOW + 3600) == []


def test_a_shard_that_a_later_one_overtook_is_overdue() -> None:
    later = replace(SHARD, shard=ShardId(0, 5, 5), sent=NOW - 50, claimed_by="w/1", claimed=NOW - OVERDUE_S - 1)
    assert overdue(Reconciler(), SHARD, later, at_hand=later.shard) == [(0, Why.UNCLAIMED)]
    just_now = replace(later, claimed=NOW - 1)
    assert overdue(Reconciler(), SHARD, just_now) == []


def test_what_went_to_the_front_overtakes_only_its_like() -> None:
    old = NOW - OVERDUE_S - 1
    ahead = replace(SHARD, shard=ShardId(0, 5, 5), sent=NOW - 50, claimed_by="w/1", claimed=old, ahead=True)
    assert overdue(Reconciler(), SHARD, ahead, at_hand=ahead.shard) == [], "it waits in its turn"
    waits = replace(SHARD, ahead=True)
    assert overdue(Reconciler(), waits, ahead, at_hand=ahead.shard) == [(0, Why.UNCLAIMED)]
    in_turn = replace(ahead, ahead=False)
    assert overdue(Reconciler(), waits, in_turn, at_hand=in_turn.shard) == [(0, Why.UNCLAIMED)]


def test_a_claim_counts_also_when_its_shard_is_long_collected() -> None:
    reconciler = Reconciler()
    reconciler.note_claim(replace(SHARD, shard=ShardId(0, 5, 5), sent=NOW - 50, claimed=NOW - OVERDUE_S - 1))
    assert overdue(reconciler, SHARD) == [(0, Why.UNCLAIMED)]


def test_a_shard_whose_queue_is_long_empty_is_overdue() -> None:
    reconciler = Reconciler()
    assert overdue(reconciler, SHARD, queued=0) == []
    assert overdue(reconciler, SHARD, queued=0, now=NOW + OVERDUE_S - 1) == []
    assert overdue(reconciler, SHARD, queued=0, now=NOW + OVERDUE_S) == [(0, Why.UNCLAIMED)]


def test_a_queue_that_fills_again_starts_the_wait_anew() -> None:
    reconciler = Reconciler()
    overdue(reconciler, SHARD, queued=0)
    overdue(reconciler, SHARD, queued=3, now=NOW + 5)
    assert overdue(reconciler, SHARD, queued=0, now=NOW + OVERDUE_S) == []
