"""Open shards and heartbeats in, overdue shards out: by evidence, never by kombu's own keys."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from common.ledger import OpenShard
from common.limits import HEARTBEAT_LIFE_S, OVERDUE_S


@dataclass(frozen=True, slots=True)
class Overdue:
    """A shard that must be sent again. `died`: its process's heartbeat is gone."""

    shard: OpenShard
    died: bool


class Reconciler:
    """Remembers claims, and since when the queue has been empty. Instants are Redis TIME, seconds."""

    def __init__(self) -> None:
        self._claims: list[tuple[float, float]] = []
        #: Everything sent before this was overtaken: a later shard was claimed OVERDUE_S ago.
        self._overtaken = 0.0
        self._empty_since: float | None = None

    def note_claim(self, shard: OpenShard) -> None:
        """A claim of which the ledger may soon know nothing more."""
        if shard.claimed is not None:
            heapq.heappush(self._claims, (shard.claimed, shard.sent))

    def overdue(
        self, shards: Iterable[OpenShard], live: Mapping[str, str | None], queue_length: Callable[[], int], now: float
    ) -> list[Overdue]:
        """Those of the open, uncommitted shards that nobody will do.

        `live` has the processes whose heartbeat lives and the shard that each works on, as read before the shards were.
        """
        waiting = [shard for shard in shards if shard.committed is None]
        for shard in waiting:
            self.note_claim(shard)
        while self._claims and self._claims[0][0] < now - OVERDUE_S:
            self._overtaken = max(self._overtaken, heapq.heappop(self._claims)[1])
        unclaimed = [shard for shard in waiting if shard.claimed_by is None]
        empty = self._empty_for(now, queue_length) if unclaimed else 0.0
        found = [Overdue(shard, True) for shard in waiting if shard.claimed_by and shard.claimed_by not in live]
        found += [Overdue(shard, False) for shard in waiting if _dropped(shard, live, now)]
        for shard in unclaimed:
            long_empty = empty >= OVERDUE_S and shard.sent < now - OVERDUE_S
            if shard.sent < self._overtaken or long_empty:
                found.append(Overdue(shard, False))
        return found

    def _empty_for(self, now: float, queue_length: Callable[[], int]) -> float:
        """Seconds since the queue was first seen empty; 0 while something waits in it."""
        if queue_length() > 0:
            self._empty_since = None
            return 0.0
        if self._empty_since is None:
            self._empty_since = now
        return now - self._empty_since


def _dropped(shard: OpenShard, live: Mapping[str, str | None], now: float) -> bool:
    """Its process lives and works on something else: the commit did not get through.

    Every heartbeat that lives is younger than so old a claim, so it cannot be from before it.
    """
    if shard.claimed_by is None or shard.claimed_by not in live or shard.claimed is None:
        return False
    return shard.claimed < now - HEARTBEAT_LIFE_S and live[shard.claimed_by] != str(shard.shard)
