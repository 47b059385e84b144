"""Kinds of faults: each looks whether it can strike now, strikes, and says whom."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from chaos.stage import Stage
from chaos.wounds import Victims
from common.errors import UsageError


class Fault(Protocol):
    """Knows nothing of other faults, nor of when they strike."""

    @property
    def kind(self) -> str:
        """Its name in the report."""

    def strike(self, stage: Stage, dice: random.Random) -> Victims | None:
        """None where what it strikes is not there just now. May raise redis.RedisError, having done nothing."""


@dataclass(frozen=True, slots=True)
class Kinds:
    """All of them, or those that were chosen."""

    faults: tuple[Fault, ...]
    #: Kinds that need a broker that does its work.
    at_broker: frozenset[str]
    #: Those of them after which it does not for a while: the run gets on between two of these.
    outages: frozenset[str]

    @classmethod
    def all(cls) -> Kinds:
        from chaos.faults import broker, messages, outages, producer, workers

        at_broker = (*broker.FAULTS, *outages.FAULTS, *messages.FAULTS)
        return cls((*workers.FAULTS, *at_broker, *producer.FAULTS), _names(at_broker), _names(outages.FAULTS))

    def only(self, chosen: Sequence[str]) -> Kinds:
        """Raises UsageError for one that there is not."""
        known = {fault.kind for fault in self.faults}
        for kind in chosen:
            if kind not in known:
                raise UsageError(f'--only "{kind}" is no kind of fault; there are: {"; ".join(sorted(known))}')
        return replace(self, faults=tuple(fault for fault in self.faults if fault.kind in chosen))

    def may(self, fault: Fault, stage: Stage) -> bool:
        """Whether it finds a broker to strike."""
        if fault.kind in self.outages:
            return stage.gets_on
        return fault.kind not in self.at_broker or not stage.broker_out


def _names(faults: Sequence[Fault]) -> frozenset[str]:
    return frozenset(fault.kind for fault in faults)
