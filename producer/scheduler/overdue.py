"""Open shards and heartbeats in, overdue shards out: by evidence, never by kombu's own keys."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from common.limits import HEARTBEAT_LIFE_S, OVERDUE_S
from common.protocol.ledger import Fate, OpenShard


class Why(StrEnum):
    """The evidence that a shard will bring no result as things are, or late. The ledger counts by these names."""

    #: Its worker says that the process died, and at which item.
    DIED = "died"
    #: Its process's heartbeat is gone, and no worker has said why.
    LOST = "lost"
    #: Its worker, or just its process, was told to end, and gave it back.
    HANDED_BACK = "handed_back"
    #: The bytes of its items were not in Redis.
    NOT_LOADED = "not_loaded"
    #: Its worker does not reach the server that they are on.
    CUT_OFF = "cut_off"
    #: Its process lives and is at something else.
    DROPPED = "dropped"
    #: Nobody took it, though its turn is long over.
    UNCLAIMED = "unclaimed"
    #: The broker's clock jumped, so that nothing can be told from times: whatever nobody is at.
    CLOCK = "clock"
    #: A process was at it for more than 5 s, committed what it had done, and handed back the rest.
    LONG = "long"
    #: It holds the end of the run while others idle (producer/scheduler/stragglers.py); its process goes on, and is
    #: not to blame.
    SLOW = "slow"


@dataclass(frozen=True, slots=True)
class Overdue:
    """A shard that must be sent again."""

    shard: OpenShard
    why: Why


#: What a worker says of a claim whose process goes on.
_NO_DEATH = {
    Fate.HANDED_BACK: Why.HANDED_BACK,
    Fate.NOT_LOADED: Why.NOT_LOADED,
    Fate.CUT_OFF: Why.CUT_OFF,
}


class Reconciler:
    """Remembers claims, and since when the queue has been empty. Instants are Redis TIME, seconds."""

    def __init__(self) -> None:
        self._claims: list[tuple[float, float, bool]] = []
        #: Everything sent before this was overtaken: a shard that was sent later was claimed OVERDUE_S ago. What goes
        #: to the front of the queue overtakes what waits in its turn, and nothing overtakes it.
        self._overtaken = self._front_overtaken = 0.0
        self._empty_since: float | None = None

    def note_claim(self, shard: OpenShard) -> None:
        """A claim of which the ledger may soon know nothing more."""
        if shard.claimed is not None:
            heapq.heappush(self._claims, (shard.claimed, shard.sent, shard.ahead))

    def overdue(
        self,
        shards: Iterable[OpenShard],
        live: Mapping[str, str | None],
        queue_length: Callable[[], int],
        now: float,
        jumped: bool = False,
    ) -> list[Overdue]:
        """Those of the open, uncommitted shards that nobody will do.

        `live` has the processes whose heartbeat lives and the shard that each works on, as read before the shards were.
        """
        waiting = [shard for shard in shards if shard.committed is None]
        if jumped:
            self._claims, self._overtaken, self._front_overtaken, self._empty_since = [], 0.0, 0.0, None
            idle = [one for one in waiting if one.claimed_by is None or live.get(one.claimed_by) != str(one.shard)]
            return [Overdue(shard, Why.CLOCK) for shard in idle]
        for shard in waiting:
            self.note_claim(shard)
        while self._claims and self._claims[0][0] < now - OVERDUE_S:
            _, sent, ahead = heapq.heappop(self._claims)
            self._front_overtaken = max(self._front_overtaken, sent)
            if not ahead:
                self._overtaken = max(self._overtaken, sent)
        unclaimed = [shard for shard in waiting if shard.claimed_by is None]
        empty = self._empty_for(now, queue_length) if unclaimed else 0.0
        found = []
        for shard in waiting:
            why = _claim_failed(shard, live, now)
            long_empty = empty >= OVERDUE_S and shard.sent < now - OVERDUE_S
            if why is not None:
                found.append(Overdue(shard, why))
            elif shard.claimed_by is None:
                overtaken = self._front_overtaken if shard.ahead else self._overtaken
                if shard.sent < overtaken or long_empty:
                    found.append(Overdue(shard, Why.UNCLAIMED))
        return found

    def _empty_for(self, now: float, queue_length: Callable[[], int]) -> float:
        """Seconds since the queue was first seen empty; 0 while something waits in it."""
        if queue_length() > 0:
            self._empty_since = None
            return 0.0
        if self._empty_since is None:
            self._empty_since = now
        return now - self._empty_since


def _claim_failed(shard: OpenShard, live: Mapping[str, str | None], now: float) -> Why | None:
    """Why a claim will bring no result; None while it may, or where there is none."""
    if shard.claimed_by is None or shard.claimed is None:
        return None
    if shard.fate is not None:
        return _NO_DEATH.get(shard.fate, Why.DIED)
    if shard.claimed_by not in live:
        return Why.LOST
    # Every heartbeat that lives is younger than so old a claim, so it cannot be from before it.
    if shard.claimed < now - HEARTBEAT_LIFE_S and live[shard.claimed_by] != str(shard.shard):
        return Why.DROPPED
    return None
