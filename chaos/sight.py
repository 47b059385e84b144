"""A run's journal and broker in, what an onlooker sees of them out: what is durable, who lives, what is in flight."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import redis

from chaos.broker import Broker
from chaos.fleet import Fleet, runs
from common.broker.connect import PREFIX
from common.errors import ManyeyesError
from common.protocol import heartbeats
from common.protocol.ledger import Ledger, OpenShard
from common.protocol.messages import ShardId, queue_keys, task_queue
from producer.rundir.item_set import ItemSet
from producer.rundir.journal import frames

#: kombu's own keys: what it handed to a worker, and since when.
UNACKED, UNACKED_INDEX = f"{PREFIX}unacked", f"{PREFIX}unacked_index"


class JournalTail:
    """Follows a journal that others write."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._end = 0
        self.done = ItemSet()

    def read(self) -> None:
        """A torn frame is read once it is whole: who appends after a crash begins where the last whole one ends."""
        if not self._path.exists():
            return
        for frame in frames(self._path, self._end):
            if frame.begin != self._end:
                return
            self._end = frame.end
            self.done.add(frame.shard.first, frame.shard.count)


@dataclass(frozen=True, slots=True)
class Sight:
    """One look at a broker that answered."""

    #: Pool processes that beat and run, by the number of their worker.
    alive: dict[int, frozenset[int]]
    #: `worker/pid`, as in claims, of the same.
    names: frozenset[str]
    open: tuple[OpenShard, ...]


def look(broker: Broker, run: str, fleet: Fleet) -> Sight | None:
    """None where the broker does not answer."""
    alive: dict[int, set[int]] = {worker.number: set() for worker in fleet.workers}
    names = set()
    try:
        beats = heartbeats.live_processes(broker.client)
        shards = Ledger(broker.client, run).open_shards()
    except (redis.RedisError, ManyeyesError):
        return None
    for beat in beats:
        worker = fleet.of_pid(beat.pid)
        if worker is not None and runs(beat.pid):
            alive[worker.number].add(beat.pid)
            names.add(beat.process)
    return Sight({number: frozenset(pids) for number, pids in alive.items()}, frozenset(names), tuple(shards))


@dataclass(frozen=True, slots=True)
class Queued:
    """A message that waits: in which of kombu's lists, and about which shard."""

    key: str
    raw: bytes
    shard: ShardId


def queued(client: redis.Redis, queue: str) -> list[Queued]:
    keys = [f"{PREFIX}{key}" for key in queue_keys(task_queue(queue))]
    found = [(key, raw) for key in keys for raw in cast("list[bytes]", client.lrange(key, 0, -1))]
    return [Queued(key, raw, _shard_of(json.loads(raw))) for key, raw in found]


def unacknowledged(client: redis.Redis) -> list[tuple[bytes, ShardId]]:
    """Delivery tags of messages that a worker has, and the shards that they are about."""
    held = cast("dict[bytes, bytes]", client.hgetall(UNACKED))
    return [(tag, _shard_of(json.loads(raw)[0])) for tag, raw in sorted(held.items())]


def _shard_of(message: dict[str, Any]) -> ShardId:
    """The task's id is `run/shard/attempt`."""
    return ShardId.parse(message["headers"]["id"].split("/")[1])
