"""A command that waits for a worker in; how many images wait with it out, in Redis, for what could start one."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence

import redis

from common.broker.connect import PREFIX
from common.limits import MAX_NAME

#: Those who wait by the instant, Redis TIME, after which they are taken for dead.
WAITING_KEY = f"{PREFIX}waiting"
#: Seconds between their words, and for which one word holds.
_SAY_S, LIFE_S = 1.0, 5
#: Images of the greatest dataset that is counted as such: fifteen digits.
_ENTRY = re.compile(rb"(\S+) ([0-9]{1,15}) (.+)")
#: What a queue's name has after its detector's.
_DIGEST = re.compile("-[0-9a-f]{8}")


class Waiting:
    """One command's entry among those who wait. No run fails for it: what Redis refuses goes untold."""

    def __init__(self, run: str, detector: str, images: Iterator[int]) -> None:
        """`detector` as the user named it, which may be by its queue.

        `images` says better and better how many wait; asked in a thread, from the first word on.
        """
        self._run = run
        self._detector = detector_of(detector) if _DIGEST.fullmatch(detector[-9:]) else detector
        #: Nobody waits for none.
        self._images = 1
        self._left = threading.Event()
        self._counting = threading.Thread(target=self._count, args=(images,), name="counting", daemon=True)
        self._entry = ""
        self._again = 0.0

    def _count(self, images: Iterator[int]) -> None:
        # What cannot be listed or read is said by whoever needs it, once there is a worker.
        with contextlib.suppress(Exception):
            while not self._left.is_set() and (known := next(images, None)) is not None:
                self._images = max(1, known)

    def tell(self, client: redis.Redis) -> None:
        """Once a second, however often it is called. Raises redis.ConnectionError, redis.TimeoutError."""
        if time.monotonic() < self._again:
            return
        if self._counting.ident is None:
            self._counting.start()
        entry = f"{self._run} {self._images} {self._detector}"
        with contextlib.suppress(redis.ResponseError):
            seconds, _ = client.time()
            pipe = client.pipeline()
            pipe.zrem(WAITING_KEY, self._entry)
            pipe.zadd(WAITING_KEY, {entry: seconds + LIFE_S})
            pipe.zremrangebyscore(WAITING_KEY, "-inf", f"({seconds}")
            pipe.expire(WAITING_KEY, LIFE_S)
            pipe.execute()
        self._entry = entry
        self._again = time.monotonic() + _SAY_S

    def leave(self, client: redis.Redis) -> None:
        """It goes on, or gives up. The listing that was counted is over soon, or has begun: another may begin."""
        self._left.set()
        if self._entry:
            self._counting.join(_SAY_S)
            with contextlib.suppress(redis.RedisError):
                client.zrem(WAITING_KEY, self._entry)


def detector_of(queue: str) -> str:
    """The name of the detector whose queue it is."""
    return queue.rpartition("-")[0]


def images_waiting(entries: Sequence[bytes]) -> dict[str, int]:
    """By detector. What none of them says counts as nothing."""
    found: Counter[str] = Counter()
    for entry in entries:
        said = _ENTRY.fullmatch(entry)
        name = said[3].decode(errors="replace") if said else ""
        if said and len(name) <= MAX_NAME and name.isprintable():
            found[name] += int(said[2])
    return dict(found)
