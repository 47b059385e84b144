"""Processes, their speed and a run's share in; how much work it may have in flight, in shards of which length, out."""

from __future__ import annotations

import math
from dataclasses import dataclass

from common.limits import FIRST_SHARD_S, MAX_SHARD_ITEMS, OWNER_SHARDS_PER_S, QUEUED_S, SHARD_S, WINDOW_SHARDS


@dataclass(frozen=True, slots=True)
class Window:
    """Counted in seconds of one process's work: what waits ahead of a newcomer is time, not shards.

    The queue is first come, first served, and each run replaces what comes back. So the processes' time divides as the
    seconds in flight do, however long each run's shards are.
    """

    seconds: float
    #: Whole shards of this length fill it, or the shares would be as uneven as the last one.
    shard_s: float
    #: However short they are.
    shards: int

    @classmethod
    def of(cls, processes: int, image_s: float, seen: bool, share: float = 1.0) -> Window:
        """`seen`: `image_s` is from the dataset's own images. Warm-up knows nothing of them: shards stay small."""
        shard_s = max(SHARD_S if seen else FIRST_SHARD_S, image_s)
        if seen:
            shard_s = max(shard_s, processes / 50)
        shard_s = min(shard_s, MAX_SHARD_ITEMS * image_s)
        # All are at work, and at least one shard waits, or each would idle until its owner has heard of its end.
        alone_s = processes * shard_s + max(processes * QUEUED_S, shard_s)
        seconds = share * alone_s
        # Less a rounding error: six seconds are three shards of two, not four.
        shard_s = seconds / max(1, math.ceil(seconds / shard_s - 5e-7))
        return cls(seconds, shard_s, WINDOW_SHARDS * processes)

    def takes(self, next_s: float, in_flight_s: float, shards: int) -> bool:
        """Whether the next shard leaves less undone than it does too much: whole images never fit. One always goes."""
        return shards == 0 or (shards < self.shards and in_flight_s + next_s / 2 < self.seconds)

    def shard_items(self, image_s: float) -> int:
        return max(1, min(int(self.shard_s / image_s), MAX_SHARD_ITEMS))


def tail_items(left: int, processes: int, image_s: float) -> int:
    """Items in a shard, at most, when so many are left to send: ever fewer, so that all processes end together.

    But no more shards a second than the owner manages, or hundreds of processes would wait for it instead. The last
    few hundred images go one by one all the same: so few shards are no burden.
    """
    bearable = min(int(processes / OWNER_SHARDS_PER_S / image_s), left // OWNER_SHARDS_PER_S)
    return max(1, left // (4 * processes), bearable)
