"""Kinds of faults: each looks whether it can strike now, strikes, and says whom."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Protocol

from chaos.stage import Stage
from chaos.wounds import Victims


class Fault(Protocol):
    """Knows nothing of other faults, nor of when they strike."""

    @property
    def kind(self) -> str:
        """Its name in the report."""

    def strike(self, stage: Stage, dice: random.Random) -> Victims | None:
        """None where what it strikes is not there just now. May raise redis.RedisError, having done nothing."""


@dataclass(frozen=True, slots=True)
class Kinds:
    """All of them."""

    faults: tuple[Fault, ...]

    @classmethod
    def all(cls) -> Kinds:
        from chaos.faults import broker, messages, producer, workers

        return cls((*workers.FAULTS, *broker.FAULTS, *messages.FAULTS, *producer.FAULTS))
