"""A fault's victims in, the instant at which nothing more is felt of it out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from chaos.fleet import PROCESSES
from chaos.sight import Sight
from common.protocol.ledger import OpenShard
from common.protocol.messages import ShardId
from producer.rundir.item_set import ItemSet


@dataclass(frozen=True, slots=True)
class Victims:
    """Whom and what a fault has struck."""

    #: Numbers of the workers that must be whole again.
    workers: frozenset[int] = frozenset()
    #: Pool processes that are dead or frozen, and do not count as alive.
    pids: frozenset[int] = frozenset()
    #: Shards that were in flight and that somebody else must now do.
    shards: frozenset[ShardId] = frozenset()
    #: True where the producer must be there again.
    producer: bool = False
    #: Seconds until `mend` is called; it wakes what was frozen.
    mend_after_s: float = 0.0
    mend: Callable[[], None] | None = None
    #: For people: which of them.
    what: str = ""


@dataclass(slots=True)
class Wound:
    """One fault that has struck. Instants are monotonic seconds."""

    kind: str
    victims: Victims
    struck: float
    #: Items that were durable when it struck.
    done: int
    mended: bool = False
    #: Seconds from the strike until it was healed; None while it is not.
    healed_s: float | None = None
    #: Which of the conditions still did not hold at the last look.
    missing: list[str] = field(default_factory=list)
    told: bool = False

    def tick(self) -> None:
        """Wake what was frozen, once its time has come."""
        due = self.struck + self.victims.mend_after_s
        if not self.mended and time.monotonic() >= due:
            self.mended = True
            if self.victims.mend is not None:
                self.victims.mend()

    def look(self, sight: Sight | None, done: ItemSet, producer: bool) -> None:
        """Healed: rows came to the disk since, all struck processes are replaced, and every struck shard is on disk
        or in the hands of another process that lives."""
        if self.healed_s is not None:
            return
        self.missing = ["the broker"] if sight is None else self._missing(sight, done, producer)
        if not self.missing and self.mended:
            self.healed_s = time.monotonic() - self.struck

    def _missing(self, sight: Sight, done: ItemSet, producer: bool) -> list[str]:
        missing = []
        if done.count <= self.done:
            missing.append("new rows")
        if self.victims.producer and not producer:
            missing.append("the producer")
        for number in sorted(self.victims.workers):
            # One that was frozen and woke is as good as another.
            dead = frozenset() if self.victims.mend is not None and self.mended else self.victims.pids
            if len(sight.alive[number] - dead) < PROCESSES:
                missing.append(f"processes of worker {number}")
        for shard in sorted(self.victims.shards):
            if not done.covers(shard.first, shard.count) and not self._in_hand(shard, sight, done):
                missing.append(f"shard {shard}")
        return missing

    def _in_hand(self, struck: ShardId, sight: Sight, done: ItemSet) -> bool:
        """Whether live processes have all of its items that are not on disk; it may have been split."""
        held = done.copy()
        for shard in sight.open:
            if self._alive(shard, sight) or shard.committed is not None:
                held.add(shard.shard.first, shard.shard.count)
        return held.covers(struck.first, struck.count)

    def _alive(self, shard: OpenShard, sight: Sight) -> bool:
        by = shard.claimed_by
        return by is not None and by in sight.names and int(by.rpartition("/")[2]) not in self.victims.pids
