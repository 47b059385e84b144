"""Which shards hold the end of a run, and are worth a second attempt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from common.limits import MAX_SECOND_ATTEMPTS, SLOW_LEAST_S, SLOW_SEEN_S
from common.protocol.heartbeats import Beat, Speed
from common.protocol.ledger import OpenShard
from common.protocol.messages import ShardId
from producer.scheduler.stragglers import Claim, Stragglers, left_s, slow

RUN, QUEUE = "20260101-000000-abcdefgh", "hog-1234"
#: Seconds an image of a healthy process.
IMAGE_S = 0.02
HUNDRED = ShardId(0, 0, 100)


def claim(of: Callable[[float], float], seconds: int, shard: ShardId = HUNDRED, image_s: float = IMAGE_S) -> Claim:
    """Seen once a second for so long, with `of(second)` images done."""
    found = Claim(OpenShard(shard, 1, 0.0, "w/slow", 0.0, None), image_s, 0.0)
    for second in range(seconds + 1):
        found.seen(int(of(second)), float(second))
    return found


def chosen(*claims: Claim, idle: tuple[float, ...] = (IMAGE_S,), now: float = 10.0) -> list[ShardId]:
    return [shard.shard for shard in slow(claims, idle, now)]


def test_what_is_left_goes_by_the_pace_that_is_seen() -> None:
    steady = claim(lambda second: 10 * second, 6)
    assert left_s(steady, 6.0) == pytest.approx(4.0)
    assert left_s(steady, 6.05) == pytest.approx(3.95), "the image at hand is half done"


def test_a_machine_that_slows_down_is_as_slow_as_it_is_now() -> None:
    sick = claim(lambda second: 50 * second if second < 2 else 50 + second, 9)
    assert left_s(sick, 9.0) == pytest.approx(41.0)


def test_a_process_that_does_nothing_is_slower_each_second() -> None:
    hung = claim(lambda second: 50, 0)
    assert 250 < left_s(hung, 6.0) < left_s(hung, 20.0)


def test_a_slow_image_is_expected_to_take_as_long_again_and_not_all_after_it() -> None:
    odd = claim(lambda second: 45 * min(second, 2), 5)
    assert 3.0 < left_s(odd, 5.0) < 4.0


def test_a_slow_shard_is_given_to_an_idle_process() -> None:
    assert chosen(claim(lambda second: second, 10)) == [HUNDRED]


def test_nobody_idle_nothing_sent() -> None:
    assert chosen(claim(lambda second: second, 10), idle=()) == []


def test_an_idle_process_that_would_be_no_faster_is_no_help() -> None:
    assert chosen(claim(lambda second: second, 10), idle=(0.9,)) == []


def test_a_shard_that_soon_ends_is_left_alone() -> None:
    soon = claim(lambda second: 9 * second, 10)
    assert left_s(soon, 10.0) < SLOW_LEAST_S
    assert chosen(soon) == []


def test_a_claim_is_watched_before_it_is_judged() -> None:
    """A heartbeat may be from before it."""
    just_now = claim(lambda second: 0, 0, image_s=1.0)
    assert chosen(just_now, now=SLOW_SEEN_S - 0.1) == []
    assert chosen(just_now, now=SLOW_SEEN_S) == [HUNDRED]


def test_a_shard_of_one_item_counts_by_its_time() -> None:
    one = claim(lambda second: 0, 0, ShardId(0, 7, 1))
    assert chosen(one, now=SLOW_LEAST_S) == []
    assert chosen(one, now=SLOW_LEAST_S + 0.1) == [ShardId(0, 7, 1)]


def test_images_that_are_slow_for_all_are_not_a_slow_process() -> None:
    """A minute each: so long in, nothing is late yet."""
    one = claim(lambda second: 0, 0, ShardId(0, 7, 1), image_s=60.0)
    assert chosen(one, idle=(60.0,), now=100.0) == []


def test_one_huge_image_is_not_sent_round_and_round() -> None:
    huge = claim(lambda second: 0, 0, ShardId(0, 7, 1))
    huge.shard = replace(huge.shard, slow=MAX_SECOND_ATTEMPTS)
    assert chosen(huge, now=600.0) == []


def test_an_image_that_has_cost_a_process_is_tried_by_one_at_a_time() -> None:
    suspect = claim(lambda second: 0, 0, ShardId(0, 7, 1))
    suspect.shard = replace(suspect.shard, deaths=1)
    assert chosen(suspect, now=600.0) == []


def test_those_that_would_end_last_go_first_and_one_for_each_idle_process() -> None:
    paces = {0: 1.0, 100: 0.1, 200: 0.5}
    claims = [claim(lambda second, p=pace: p * second, 10, ShardId(0, at, 100)) for at, pace in paces.items()]  # type: ignore[misc]
    assert [shard.first for shard in chosen(*claims, idle=(IMAGE_S, IMAGE_S))] == [100, 200]
    assert [shard.first for shard in chosen(*claims, idle=(IMAGE_S,) * 5)] == [100, 200, 0]
    # The second of the two would be no faster.
    assert [shard.first for shard in chosen(*claims, idle=(IMAGE_S, 5.0))] == [100]


class Scene:
    """A slow process at the last shard, and an idle one."""

    def __init__(self) -> None:
        self.shards = [OpenShard(HUNDRED, 1, 0.0, "w/slow", 0.0, None)]
        speeds = (Speed("other-5678", 1.0), Speed(QUEUE, 1000 * IMAGE_S))
        at_it = Beat("w/slow", "w", "here", 1, (QUEUE,), RUN, str(HUNDRED), 0, 0, 500, speeds=speeds)
        self.beats = [at_it, Beat("v/idle", "v", "there", 2, (QUEUE,), images=700, speeds=speeds)]
        self.queued = 0
        self._stragglers = Stragglers(QUEUE, RUN)

    def look(self, now: float) -> list[ShardId]:
        found = self._stragglers.look(self.shards, self.beats, lambda: self.queued, now)
        return [shard.shard for shard in found]

    def found(self) -> list[ShardId]:
        """Of the last of many looks."""
        for second in range(30):
            found = self.look(float(second))
        return found


def test_a_straggler_is_found_while_another_process_is_idle() -> None:
    assert Scene().found() == [HUNDRED]


def test_a_process_that_was_idle_at_one_look_only_is_between_two_shards() -> None:
    scene = Scene()
    idle = scene.beats.pop()
    assert scene.found() == []
    scene.beats.append(idle)
    assert scene.look(30.0) == []
    assert scene.look(31.0) == [HUNDRED]
    # It has had an image in between.
    scene.beats[1] = replace(idle, images=701)
    assert scene.look(32.0) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda scene: setattr(scene, "queued", 1),
        lambda scene: scene.shards.append(OpenShard(ShardId(0, 100, 9), 1, 0.0, None, None, None)),
        lambda scene: scene.shards.append(OpenShard(ShardId(0, 100, 9), 1, 0.0, "v/idle", 0.0, None)),
        lambda scene: scene.beats.__setitem__(1, replace(scene.beats[1], run="another", shard="0:0+9")),
        lambda scene: scene.beats.pop(0),
        lambda scene: scene.shards.__setitem__(0, replace(scene.shards[0], committed=1.0)),
    ],
    ids=["other runs wait", "a shard waits", "it has claimed one", "at another run", "its heart is gone", "committed"],
)
def test_no_second_attempt_where(change: Callable[[Scene], object]) -> None:
    scene = Scene()
    change(scene)
    assert scene.found() == []


def test_the_second_attempt_is_watched_anew() -> None:
    """It may fall to a slow process too; then there is one more."""
    scene = Scene()
    assert scene.found() == [HUNDRED]
    scene.shards = [replace(scene.shards[0], attempt=2, claimed_by="u/slow", slow=1)]
    scene.beats.append(replace(scene.beats[0], process="u/slow"))
    assert scene.look(30.0) == []
    assert scene.look(50.0) == [HUNDRED]
