"""Commands that wait for a worker, as Redis has them, and what is made of what nobody has said."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import redis

from producer.monitor.reading import read
from producer.run.waiting import LIFE_S, WAITING_KEY, Waiting, images_waiting
from tests.waiting import wait_until


def unreadable() -> Iterator[int]:
    yield 3
    raise OSError("a disk that is gone")


def test_who_waits_is_counted_by_detector_and_struck_when_it_goes_on(client: redis.Redis) -> None:
    """By the detector's name, by its queue's; also where images cannot be counted to the end, or are none."""
    waiting = [
        Waiting("a", "yolox-s", iter((5, 9))),
        Waiting("b", "yolox-s-1a2b3c4d", unreadable()),
        Waiting("c", "deer", iter((0,))),
    ]

    def told() -> bool:
        for one in waiting:
            one.tell(client)
        return read(client).awaited == {"yolox-s": 9 + 3, "deer": 1}

    wait_until(told, what="all of them, counted")
    assert 0 < client.ttl(WAITING_KEY) <= LIFE_S
    for one in waiting[:2]:
        one.leave(client)
    assert read(client).awaited == {"deer": 1}
    # Its last word is old, and others keep the key: it counts no more.
    [entry] = client.zrange(WAITING_KEY, 0, -1)
    client.zadd(WAITING_KEY, {entry: 1})
    assert read(client).awaited == {}


def test_a_count_without_an_end_holds_nobody_up(client: redis.Redis) -> None:
    waiting = Waiting("a", "hog", count(1))
    waiting.tell(client)
    waiting.leave(client)
    assert not client.exists(WAITING_KEY)
    Waiting("b", "hog", count(1)).leave(client)


def test_what_nobody_says_counts_as_nothing() -> None:
    said = [b"a 5 hog", b"b 2 hog", b"", b"c hog", b"d -1 hog", b"e 9 \x1b[2J", b"f 1 " + b"x" * 999, b"g " + b"9" * 99]
    assert images_waiting(said) == {"hog": 7}
