"""Single messages: one that waits, and one that a worker has not acknowledged, taken out of the broker."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import cast

from chaos.sight import UNACKED, UNACKED_INDEX, queued, unacknowledged
from chaos.stage import Stage
from chaos.wounds import Victims


@dataclass(frozen=True, slots=True)
class DropQueued:
    """A shard is open, and no message says so."""

    kind: str = "drop queued message"

    def strike(self, stage: Stage, dice: random.Random) -> Victims | None:
        waiting = queued(stage.broker.client, stage.queue)
        if not waiting:
            return None
        one = dice.choice(waiting)
        if not stage.broker.client.lrem(one.key, 1, cast(str, one.raw)):
            return None
        return Victims(shards=frozenset({one.shard}), what=str(one.shard))


@dataclass(frozen=True, slots=True)
class DropUnacknowledged:
    """Should its worker die now, Celery would never deliver it again."""

    kind: str = "drop unacked message"

    def strike(self, stage: Stage, dice: random.Random) -> Victims | None:
        held = unacknowledged(stage.broker.client)
        if not held:
            return None
        tag, shard = dice.choice(held)
        with stage.broker.client.pipeline() as pipe:
            pipe.hdel(UNACKED, tag.decode())
            pipe.zrem(UNACKED_INDEX, tag)
            held_still, _ = pipe.execute()
        return Victims(shards=frozenset({shard}), what=str(shard)) if held_still else None


FAULTS = (DropQueued(), DropUnacknowledged())
