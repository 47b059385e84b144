"""Commits what is done of a shard that takes long, and hands back the rest, so that others can have it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import redis

from common.limits import LONG_SHARD_S
from common.protocol.ledger import Ledger
from common.protocol.messages import ShardMessage
from worker.pool.outage import Outage
from worker.pool.pipeline import Looked

log = logging.getLogger(__name__)


@dataclass(slots=True)
class HandBack:
    """One process's time with one shard."""

    ledger: Ledger
    message: ShardMessage
    process: str
    #: The encoded result of what is done of the shard.
    result: Callable[[Looked], bytes]
    begun: float = field(default_factory=time.monotonic)
    #: A second attempt was sent: whoever has that may hand back.
    superseded: bool = False
    #: Whether it was done.
    done: bool = False
    _not_before: float = 0.0
    _outage: Outage = field(default_factory=lambda: Outage(log, "the commit of what is done"))

    @property
    def due(self) -> bool:
        """Called between two images."""
        now = time.monotonic()
        return not self.superseded and now - self.begun > LONG_SHARD_S and now >= self._not_before

    def try_(self, looked: Looked) -> bool:
        """Whether the process may leave the shard; at least one of its items must be done, and one be left.

        A broker that does not answer is no reason to stop: the shard goes on, and this is tried again.
        """
        try:
            status = self.ledger.commit_beginning(self.message, self.process, self.result(looked))
        except redis.RedisError as error:
            self._not_before = time.monotonic() + self._outage.failed(error)
            return False
        self._outage.worked()
        self.superseded = status == "stale"
        self.done = status == "ok"
        # Whoever was first, or whatever the run is now: the next heartbeat says so.
        return self.done
