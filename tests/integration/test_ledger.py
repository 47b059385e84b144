"""The Lua scripts against a real server: open, claim, commit, resend, split, free, lease."""

from __future__ import annotations

import pytest
import redis

from common.errors import FencedError
from common.protocol.ledger import Fate, Ledger, RunState, shard_key
from common.protocol.messages import ShardId, ShardMessage

SHARD = ShardId(0, 10, 4)
ITEMS = b"a.jpg\0b\xff.jpg\0c.jpg\0d.jpg"


@pytest.fixture
def ledger(client: redis.Redis) -> Ledger:
    ledger = Ledger(client, "20260101-000000-abcdefgh")
    assert ledger.reserve({"spec": "{}", "spec_digest": "d", "created": "1"})
    ledger.set_state(RunState.RUNNING)
    return ledger


def message(attempt: int = 1, digest: str = "d", shard: ShardId = SHARD) -> ShardMessage:
    return ShardMessage("20260101-000000-abcdefgh", shard, attempt, digest)


def test_a_run_id_is_reserved_once(ledger: Ledger) -> None:
    assert not ledger.reserve({"spec": "other", "created": "2"})
    assert ledger.spec_text() == "{}"


def test_a_shard_goes_from_open_to_freed(ledger: Ledger) -> None:
    token = ledger.lease(None)
    assert ledger.open(token, SHARD, ITEMS)
    assert not ledger.open(token, SHARD, ITEMS)
    claim = ledger.claim(message(), "w/1")
    assert (claim.status, claim.items) == ("ok", ITEMS)
    assert ledger.commit(SHARD, b"result") == "ok"
    assert ledger.wait_committed(1.0) == [SHARD]
    [seen] = ledger.look([SHARD])
    assert seen.claimed_by == "w/1" and seen.committed is not None and seen.queue_wait_s is not None
    assert ledger.results([SHARD]) == [b"result"]
    ledger.free(token, SHARD)
    assert ledger.open_shards() == []


@pytest.mark.parametrize("left", [{"times:lost": 1}, {"attempt": 1}, {"items": b"a"}, None], ids=str)
def test_what_a_restart_has_left_of_a_shard_is_opened_anew(ledger: Ledger, left: dict[str, str] | None) -> None:
    token = ledger.lease(None)
    ledger.open(token, SHARD, ITEMS)
    key = shard_key(ledger.run, SHARD)
    ledger.client.delete(key)
    if left is None:
        ledger.client.set(key, "no hash")
    else:
        ledger.client.hset(key, mapping=left)
    assert ledger.open(token, SHARD, ITEMS)
    assert ledger.claim(message(), "w/1").status == "ok"


def test_one_attempt_has_one_claim(ledger: Ledger) -> None:
    ledger.open(ledger.lease(None), SHARD, ITEMS)
    assert ledger.claim(message(), "w/1").status == "ok"
    assert ledger.claim(message(), "w/2").status == "claimed"
    assert ledger.claim(message(), "w/1").status == "ok", "the same process may ask again after a lost answer"


def test_shards_are_freed_together_and_only_those(ledger: Ledger) -> None:
    token = ledger.lease(None)
    shards = [ShardId(0, first, 3) for first in (0, 3, 6)]
    for shard in shards:
        ledger.open(token, shard, ITEMS)
    ledger.commit(shards[2], b"kept")
    ledger.free(token, *shards[:2])
    assert [one.shard for one in ledger.open_shards()] == [shards[2]]
    assert ledger.results(shards) == [None, None, b"kept"]


def test_the_first_commit_wins(ledger: Ledger) -> None:
    token = ledger.lease(None)
    ledger.open(token, SHARD, ITEMS)
    assert ledger.commit(SHARD, b"first") == "ok"
    assert ledger.commit(SHARD, b"second") == "committed"
    assert ledger.results([SHARD]) == [b"first"]
    ledger.free(token, SHARD)
    assert ledger.commit(SHARD, b"third") == "closed"
    assert ledger.wait_committed(1.0) == [SHARD]
    assert ledger.wait_committed(0.05) == []


def test_an_old_attempt_can_no_longer_be_claimed(ledger: Ledger) -> None:
    token = ledger.lease(None)
    ledger.open(token, SHARD, ITEMS)
    ledger.claim(message(), "w/1")
    [seen] = ledger.open_shards()
    assert ledger.resend(token, seen, "died") == (2, 1)
    assert ledger.resend(token, seen, "died") is None, "what was seen is out of date"
    assert ledger.claim(message(1), "w/2").status == "stale"
    assert ledger.claim(message(2), "w/2").status == "ok"


def test_a_committed_shard_is_not_sent_again(ledger: Ledger) -> None:
    token = ledger.lease(None)
    ledger.open(token, SHARD, ITEMS)
    [seen] = ledger.open_shards()
    ledger.commit(SHARD, b"result")
    assert ledger.resend(token, seen, "lost") is None


@pytest.mark.parametrize("state", [RunState.CANCELLED, RunState.PAUSED, RunState.STOPPED])
def test_a_run_that_does_not_run_gives_no_work(ledger: Ledger, state: RunState) -> None:
    ledger.open(ledger.lease(None), SHARD, ITEMS)
    ledger.set_state(state)
    assert ledger.claim(message(), "w/1").status == state


def test_another_spec_or_an_unknown_shard_gives_no_work(ledger: Ledger) -> None:
    ledger.open(ledger.lease(None), SHARD, ITEMS)
    assert ledger.claim(message(digest="other"), "w/1").status == "spec"
    assert ledger.claim(message(shard=ShardId(0, 99, 1)), "w/1").status == "closed"


def test_what_was_sent_again_is_counted_by_its_reason(ledger: Ledger) -> None:
    token = ledger.lease(None)
    ledger.open(token, SHARD, ITEMS)
    for why, expected in (("died", (2, 1)), ("lost", (3, 1)), ("died", (4, 2))):
        [seen] = ledger.open_shards()
        assert ledger.resend(token, seen, why) == expected


def test_a_worker_reports_the_claims_of_its_own_processes_only(ledger: Ledger) -> None:
    token = ledger.lease(None)
    ledger.open(token, SHARD, ITEMS)
    assert not ledger.report(SHARD, 1, "w/1", Fate.CRASHED, 2), "nobody has claimed it"
    ledger.claim(message(), "w/1")
    assert not ledger.report(SHARD, 1, "w/2", Fate.CRASHED, 2)
    assert not ledger.report(SHARD, 2, "w/1", Fate.CRASHED, 2)
    assert ledger.report(SHARD, 1, "w/1", Fate.CRASHED, 0)
    [seen] = ledger.open_shards()
    assert (seen.fate, seen.suspect) == (Fate.CRASHED, 0)
    ledger.resend(token, seen, "died")
    [again] = ledger.open_shards()
    assert (again.fate, again.suspect, again.claimed_by) == (None, None, None)
    ledger.claim(message(2), "w/1")
    ledger.commit(SHARD, b"result")
    assert not ledger.report(SHARD, 2, "w/1", Fate.CRASHED, 2), "a result is a result"


def test_a_split_closes_the_parent_and_opens_its_parts(ledger: Ledger) -> None:
    token = ledger.lease(None)
    ledger.open(token, SHARD, ITEMS)
    left, right = SHARD.halves()
    parts = {left: b"a\0b", right: b"c\0d"}
    assert ledger.split(token, SHARD, parts)
    assert [one.shard for one in ledger.open_shards()] == [left, right]
    assert ledger.claim(message(shard=right), "w/1").items == b"c\0d"
    assert ledger.commit(SHARD, b"late") == "closed"
    assert not ledger.split(token, SHARD, parts)


def died(ledger: Ledger, shard: ShardId) -> int:
    """Deaths of processes that the shard has against it, this one included."""
    [seen] = ledger.look([shard])
    sent = ledger.resend(ledger.lease(None), seen, "died")
    assert sent is not None
    return sent[1]


def second_attempt(ledger: Ledger, token: int, shard: ShardId) -> None:
    """`w/slow` has the shard's first attempt, and `w/2` its second."""
    ledger.claim(message(shard=shard), "w/slow")
    [seen] = ledger.look([shard])
    assert ledger.resend(token, seen, "slow") == (2, 1)
    assert ledger.claim(message(2, shard=shard), "w/2").status == "ok"


def test_of_two_attempts_whichever_is_first_counts(ledger: Ledger) -> None:
    token = ledger.lease(None)
    ledger.open(token, SHARD, ITEMS)
    second_attempt(ledger, token, SHARD)
    [seen] = ledger.open_shards()
    assert (seen.claimed_by, seen.attempt, seen.slow) == ("w/2", 2, 1)
    assert ledger.commit(SHARD, b"of the slow one") == "ok"
    assert ledger.commit(SHARD, b"of the other") == "committed"
    assert ledger.results([SHARD]) == [b"of the slow one"]


def test_the_death_of_a_slow_process_leaves_the_second_attempt_alone_and_counts_once(ledger: Ledger) -> None:
    token, alone = ledger.lease(None), ShardId(0, 12, 1)
    ledger.open(token, alone, b"c.jpg")
    second_attempt(ledger, token, alone)
    for _ in range(2):  # the answer was lost, it is said again
        ledger.report(alone, 1, "w/slow", Fate.CRASHED, 12)
    [seen] = ledger.open_shards()
    assert (seen.claimed_by, seen.fate) == ("w/2", None)
    ledger.release(token)
    assert died(ledger, alone) == 2


def test_a_slow_process_that_is_told_to_end_counts_for_nothing(ledger: Ledger) -> None:
    token, alone = ledger.lease(None), ShardId(0, 12, 1)
    ledger.open(token, alone, b"c.jpg")
    second_attempt(ledger, token, alone)
    ledger.report(alone, 1, "w/slow", Fate.HANDED_BACK)
    [seen] = ledger.open_shards()
    assert (seen.claimed_by, seen.fate) == ("w/2", None)
    ledger.release(token)
    assert died(ledger, alone) == 1


@pytest.mark.parametrize("slow_is_first", [True, False])
def test_of_two_that_die_at_one_image_in_company_one_counts(slow_is_first: bool, ledger: Ledger) -> None:
    """So that an image that kills costs no more processes than without a second attempt."""
    token, alone = ledger.lease(None), ShardId(0, 12, 1)
    ledger.open(token, SHARD, ITEMS)
    second_attempt(ledger, token, SHARD)
    slow_dies = lambda: ledger.report(SHARD, 1, "w/slow", Fate.CRASHED, 12)  # noqa: E731
    if slow_is_first:
        assert slow_dies()
    assert ledger.report(SHARD, 2, "w/2", Fate.CRASHED, 12)
    parts = {ShardId(0, 10, 2): b"a\0b", alone: b"c", ShardId(0, 13, 1): b"d"}
    assert ledger.split(token, SHARD, parts)
    if not slow_is_first:
        for _ in range(2):
            assert not slow_dies()
    ledger.release(token)
    assert died(ledger, alone) == 2
    ledger.release(token + 1)
    assert died(ledger, ShardId(0, 13, 1)) == 1, "not at that one"


def test_a_lease_has_one_holder_and_fences_the_last(ledger: Ledger, client: redis.Redis) -> None:
    first = ledger.lease(None)
    with pytest.raises(FencedError):
        ledger.lease(None)
    assert ledger.lease(first) == first
    client.delete("manyeyes:lease:" + ledger.run)  # as if it had run out
    second = ledger.lease(None)
    assert second > first
    with pytest.raises(FencedError):
        ledger.lease(first)
    for write in (
        lambda: ledger.open(first, SHARD, ITEMS),
        lambda: ledger.free(first, SHARD),
        lambda: ledger.split(first, SHARD, {SHARD.halves()[0]: b"a\0b"}),
    ):
        with pytest.raises(FencedError):
            write()


def test_a_lost_lease_comes_back_to_its_holder_but_not_after_another(ledger: Ledger, client: redis.Redis) -> None:
    first = ledger.lease(None)
    client.delete("manyeyes:lease:" + ledger.run)
    assert ledger.lease(first) == first
    client.delete("manyeyes:lease:" + ledger.run)
    ledger.release(ledger.lease(None))
    with pytest.raises(FencedError):
        ledger.lease(first)


def test_a_lease_that_went_back_to_an_owner_before_is_this_owners(ledger: Ledger, client: redis.Redis) -> None:
    """A failover to a replica that had not heard of the newest owner."""
    key, before = "manyeyes:lease:" + ledger.run, ledger.lease(None)
    ledger.release(before)
    token = ledger.lease(None)
    client.set(key, before)
    client.hset("manyeyes:run:" + ledger.run, "fence", before)
    assert ledger.lease(token) == token
    with pytest.raises(FencedError):
        ledger.lease(before)
    client.delete(key)
    with pytest.raises(FencedError):
        ledger.lease(before)


def test_a_closed_run_leaves_only_its_own_key_and_that_expires(ledger: Ledger, client: redis.Redis) -> None:
    token = ledger.lease(None)
    ledger.open(token, SHARD, ITEMS)
    client.delete("manyeyes:lease:" + ledger.run)  # writing the outputs took longer than a lease lives
    ledger.close(token, RunState.DONE)
    keys = {key.decode() for key in client.keys("*")}
    assert keys == {ledger.run_key}
    assert client.ttl(ledger.run_key) > 0
    assert ledger.claim(message(), "w/1").status == "done"
