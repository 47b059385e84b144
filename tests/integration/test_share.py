"""Owners of one queue on a real broker: each sees its share, and only of those who are there and want more."""

from __future__ import annotations

import redis

from producer.scheduler.fair_share import Share
from tests.waiting import wait_until

QUEUE = "hog-1234"


def owner(client: redis.Redis, run: str, priority: int = 1, queue: str = QUEUE) -> Share:
    return Share(client, queue, run, priority)


def test_shares_are_as_the_weights(client: redis.Redis) -> None:
    one, three = owner(client, "one"), owner(client, "three", 3)
    assert one.look(hungry=True) == 1.0, "alone"
    assert three.look(hungry=True) == 0.75
    assert one.look(hungry=True) == 0.25
    assert owner(client, "elsewhere", queue="cascade-5678").look(hungry=True) == 1.0


def test_who_wants_no_more_leaves_its_share_to_the_others(client: redis.Redis) -> None:
    one, two = owner(client, "one"), owner(client, "two")
    two.look(hungry=True)
    assert one.look(hungry=True) == 0.5
    two.look(hungry=False)
    assert one.look(hungry=True) == 1.0
    two.look(hungry=True)
    two.leave()
    assert one.look(hungry=True) == 1.0


def test_who_says_nothing_more_counts_no_more(client: redis.Redis) -> None:
    one, dead = owner(client, "one"), owner(client, "dead", 100)
    dead.look(hungry=True)
    assert one.look(hungry=True) < 0.01
    wait_until(lambda: one.look(hungry=True) == 1.0, what="the dead owner's end")


def test_a_new_owner_of_a_run_does_not_share_with_the_one_before(client: redis.Redis) -> None:
    owner(client, "one", 50).look(hungry=True)
    assert owner(client, "one", 2).look(hungry=True) == 1.0


def test_what_redis_has_lost_is_said_again(client: redis.Redis) -> None:
    one, two = owner(client, "one"), owner(client, "two")
    two.look(hungry=True)
    client.flushall()
    assert one.look(hungry=True) == 1.0
    two.look(hungry=True)
    assert one.look(hungry=True) == 0.5
