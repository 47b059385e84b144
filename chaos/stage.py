"""All that a storm strikes, and what is seen of it: the broker, the workers, the producer, the run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from chaos.broker import Broker
from chaos.driver import Driver
from chaos.fleet import PROCESSES, Fleet, Worker
from chaos.sight import JournalTail, Sight, look
from chaos.wounds import Wound
from common.protocol.messages import ShardId
from producer.rundir.run_directory import RunDir


@dataclass(slots=True)
class Stage:
    """`sight` is the last look, None where the broker did not answer."""

    broker: Broker
    fleet: Fleet
    driver: Driver
    rundir: RunDir
    queue: str
    tail: JournalTail
    wounds: list[Wound] = field(default_factory=list)
    sight: Sight | None = None
    #: Items that were done when the broker was last of no use.
    _done_without: int = -1

    def tick(self) -> None:
        """Restarts, resumes and wakings that are due; then a new look, and which wounds have healed."""
        for wound in self.open_wounds():
            wound.tick()
        self.fleet.tick()
        self.driver.tick()
        self.tail.read()
        self.sight = look(self.broker, self.rundir.run, self.fleet)
        if self.broker_out:
            self._done_without = self.tail.done.count
        for wound in self.open_wounds():
            wound.look(self.sight, self.tail.done, self.driver.running or self.driver.finished)

    @property
    def broker_out(self) -> bool:
        return self.broker.out or self.sight is None

    @property
    def gets_on(self) -> bool:
        """Whether the run has got on since the broker was last out."""
        return not self.broker_out and self.tail.done.count > self._done_without

    def open_wounds(self) -> list[Wound]:
        return [wound for wound in self.wounds if wound.healed_s is None]

    def whole_workers(self) -> list[Worker]:
        """Those that have all their processes, none of them frozen, and are not on their way out."""
        alive = self.sight.alive if self.sight else {}
        return [one for one in self.fleet.workers if not one.asked and len(alive.get(one.number, ())) == PROCESSES]

    def claimed_by(self, pids: Iterable[int]) -> frozenset[ShardId]:
        """Open shards that these processes have, and have not committed."""
        names = {str(pid) for pid in pids}
        shards = self.sight.open if self.sight else ()
        return frozenset(
            one.shard
            for one in shards
            if one.claimed_by and one.committed is None and one.claimed_by.rpartition("/")[2] in names
        )

    def open(self) -> frozenset[ShardId]:
        """All shards in flight."""
        return frozenset(one.shard for one in self.sight.open) if self.sight else frozenset()
