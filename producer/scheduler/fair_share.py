"""What the owners of one queue say in Redis in; this run's share of the queue's processes out."""

from __future__ import annotations

import re
from typing import cast

import redis

from common.broker.connect import PREFIX
from common.errors import UsageError
from common.limits import DEFAULT_PRIORITY, MAX_PRIORITY, SHARE_LIFE_S

#: A run and its priority.
_ENTRY = re.compile(rb"(\S+) ([0-9]{1,9})")


def priority_of(text: str) -> int:
    """Raises UsageError."""
    if not re.fullmatch("[0-9]{1,9}", text) or not 1 <= int(text) <= MAX_PRIORITY:
        raise UsageError(
            f"--priority {text} is not possible; give 1 (default: {DEFAULT_PRIORITY}) to {MAX_PRIORITY}: "
            "a run of 3 beside one of 1 gets three quarters of the time"
        )
    return int(text)


class Share:
    """One owner's entry among those who would send more than their window takes.

    Only shares hang on it: an owner that has died counts for some seconds more, and what Redis has lost is said again
    at the next look.
    """

    def __init__(self, client: redis.Redis, queue: str, run: str, priority: int) -> None:
        self._client = client
        #: Owners by the instant, Redis TIME, after which they count no more.
        self._key = f"{PREFIX}sharing:{queue}"
        self._run = run
        self._priority = priority
        self._entry = f"{run} {priority}"

    def look(self, hungry: bool) -> float:
        """Say whether this run has more to send; how much of the window is its own, 0..1.

        A run whose last shards are sent leaves its part to the others: nobody's processes idle for it.
        """
        seconds, _ = self._client.time()
        pipe = self._client.pipeline(transaction=False)
        if hungry:
            pipe.zadd(self._key, {self._entry: seconds + SHARE_LIFE_S})
            pipe.expire(self._key, SHARE_LIFE_S)
        else:
            pipe.zrem(self._key, self._entry)
        pipe.zremrangebyscore(self._key, "-inf", f"({seconds}")
        pipe.zrange(self._key, 0, -1)
        entries = cast("list[bytes]", pipe.execute()[-1])
        others = (_ENTRY.fullmatch(entry) for entry in entries)
        # Not what an owner before this one has said of the same run, nor what no owner says.
        weights = sum(
            min(int(one[2]), MAX_PRIORITY) for one in others if one is not None and one[1] != self._run.encode()
        )
        return self._priority / (self._priority + weights)

    def leave(self) -> None:
        self._client.zrem(self._key, self._entry)
