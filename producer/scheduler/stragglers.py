"""Claimed shards and heartbeats in; those that hold the end of the run, to be given to idle processes too, out.

Backup tasks, as MapReduce calls them (Dean and Ghemawat, OSDI 2004, section 3.6), for those that are thought to end
last, by their pace, and only where that gains something (LATE: Zaharia et al., OSDI 2008).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from common.limits import MAX_SECOND_ATTEMPTS, SLOW_LEAST_S, SLOW_RECENT_S, SLOW_SEEN_S, SLOW_TIMES
from common.protocol.heartbeats import Beat
from common.protocol.ledger import OpenShard
from common.protocol.messages import ShardId

#: Changes of a claim's progress that are kept: more than heartbeats in SLOW_RECENT_S.
_CHANGES = 16


@dataclass(frozen=True, slots=True)
class Change:
    """An instant, by the owner's monotonic clock, from which on so many of a shard's images were seen done."""

    at: float
    done: int


@dataclass(slots=True)
class Claim:
    """One process's time with one shard, as far as this owner has seen it."""

    shard: OpenShard
    #: Seconds an image, as its process says of its last shard.
    image_s: float
    since: float
    changes: deque[Change] = field(default_factory=lambda: deque(maxlen=_CHANGES))

    def seen(self, done: int, now: float) -> None:
        if not self.changes or self.changes[-1].done != done:
            self.changes.append(Change(now, done))


def left_s(claim: Claim, now: float) -> float:
    """Seconds that the rest of the shard will take its process, by its pace of late.

    An image that takes longer than its like is expected to take as long again, and to slow the mean of the next ones
    down. So a process that does nothing at all is slower with each second.
    """
    start = max((c for c in claim.changes if c.at <= now - SLOW_RECENT_S), key=lambda c: c.at, default=claim.changes[0])
    last = claim.changes[-1]
    done = last.done - start.done
    image_s = (last.at - start.at) / done if done > 0 else claim.image_s
    at_hand = now - last.at
    behind_it = max(0, claim.shard.shard.count - last.done - 1)
    if at_hand <= image_s:
        return behind_it * image_s + image_s - at_hand
    return behind_it * (now - start.at) / (done + 1) + at_hand


def slow(claims: Iterable[Claim], idle_image_s: Iterable[float], now: float) -> list[OpenShard]:
    """Shards that are worth a second attempt, those that would end last first, one for each idle process at most.

    `idle_image_s` has the seconds an image of each process that is idle.
    """
    # One that has cost a process may be slow for what its image does: it is tried by one at a time.
    allowed = [c for c in claims if c.shard.slow < MAX_SECOND_ATTEMPTS and not c.shard.deaths]
    watched = [c for c in allowed if now - c.since >= SLOW_SEEN_S]
    fastest_first = sorted(idle_image_s)
    found: list[OpenShard] = []
    for claim in sorted(watched, key=lambda c: (-left_s(c, now), c.shard.shard)):
        if len(found) == len(fastest_first):
            break
        whole_s = claim.shard.shard.count * fastest_first[len(found)]
        if left_s(claim, now) > SLOW_TIMES * whole_s + SLOW_LEAST_S:
            found.append(claim.shard)
    return found


class Stragglers:
    """Remembers the progress of each claim, and who was idle.

    All instants are the owner's own, by its monotonic clock: whatever Redis's clock does, or a worker's.
    """

    def __init__(self, queue: str, run: str) -> None:
        self._queue = queue
        self._run = run
        self._claims: dict[tuple[ShardId, int], Claim] = {}
        #: Processes that were idle at the last look, and their images since their start.
        self._idle: dict[str, int] = {}

    def look(
        self, shards: Iterable[OpenShard], beats: Sequence[Beat], waiting: Callable[[], int], now: float
    ) -> list[OpenShard]:
        """Once a second, from when everything is sent: shards to be sent to idle processes as well."""
        open_ = [shard for shard in shards if shard.committed is None]
        self._watch(open_, {beat.process: beat for beat in beats}, now)
        idle = self._idle_image_s(open_, beats)
        if any(shard.claimed_by is None for shard in open_):
            return []  # that is for the idle ones
        found = slow(self._claims.values(), idle, now)
        # What waits is other runs', which go before; asked last, for it costs a connection.
        return found if found and waiting() == 0 else []

    def _watch(self, open_: Sequence[OpenShard], beats: dict[str, Beat], now: float) -> None:
        before, self._claims = self._claims, {}
        for shard in open_:
            # One whose heartbeat is gone is the reconciler's.
            if shard.claimed_by is None or (beat := beats.get(shard.claimed_by)) is None:
                continue
            key = shard.shard, shard.attempt
            claim = before.get(key) or Claim(shard, self._image_s(beat), now)
            # As it is now: one that went on beside it may have died.
            claim.shard = shard
            claim.seen(beat.shard_done if (beat.run, beat.shard) == (self._run, str(shard.shard)) else 0, now)
            self._claims[key] = claim

    def _idle_image_s(self, open_: Sequence[OpenShard], beats: Sequence[Beat]) -> list[float]:
        """Of those that had nothing to do for any run, at this look and at the last, and have claimed nothing since."""
        before, claimed = self._idle, {shard.claimed_by for shard in open_}
        self._idle = {beat.process: beat.images for beat in beats if beat.run is None and beat.process not in claimed}
        idle = [beat for beat in beats if self._idle.get(beat.process, -1) == before.get(beat.process)]
        return [self._image_s(beat) for beat in idle]

    def _image_s(self, beat: Beat) -> float:
        return next((speed.ms_per_image for speed in beat.speeds if speed.queue == self._queue), 0.0) / 1000
