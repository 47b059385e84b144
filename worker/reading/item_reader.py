"""A claimed shard in; where its items' bytes come from out: the disk, a URL, or the owner by way of Redis."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import redis

from common import datasets
from common.broker.error_text import reason
from common.errors import ItemCode, ItemError
from common.limits import CARGO_PATIENCE_S, FETCH_AHEAD
from common.protocol.messages import ShardMessage
from common.protocol.relay import NOWHERE, Cargo, CutOff, server_of
from worker.pool.outage import Outage
from worker.pool.pipeline import Fetch
from worker.pool.shared_state import Slot
from worker.reading.prefetch import ahead
from worker.reading.roots import Roots

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Shard:
    """What a claim says of the shard's items."""

    message: ShardMessage
    root: bytes
    paths: Sequence[bytes]
    #: See common.protocol.relay.
    cargo: str


class Sources:
    """What one pool process reads from. Its threads begin with the first shard that comes through a network."""

    def __init__(self, broker: redis.Redis, roots: Roots, slot: Slot, check: Callable[[], None]) -> None:
        #: Called while a fetch is waited for: raises what ends the wait.
        self._check = check
        self._broker = broker
        self._roots = roots
        self._slot = slot
        self._threads = ThreadPoolExecutor(FETCH_AHEAD, "fetch")
        self._servers: dict[str, redis.Redis] = {}

    @contextmanager
    def open(self, shard: Shard) -> Iterator[Fetch]:
        """Fetches the shard's items in their order. Raises ItemError and NotLoaded."""

        def read(path: bytes) -> bytes:
            return self._roots.read(shard.root, path)

        if shard.cargo == NOWHERE and not datasets.is_url(shard.root):
            yield read
            return
        one = self._from_cargo(shard) if shard.cargo != NOWHERE else lambda row: read(shard.paths[row])
        with ahead(self._threads, one, len(shard.paths)) as found:
            rows = iter(range(len(shard.paths)))

            def fetch(_: bytes) -> bytes:
                row = next(rows)
                # What is slow now is the network, which has bounds of its own: no image is to blame.
                self._slot.between()
                try:
                    return found.next(self._check)
                except ItemError as error:
                    if error.code is not ItemCode.OUT_OF_MEMORY:
                        raise
                    # Perhaps for those that came ahead.
                    return one(row)
                finally:
                    self._slot.item(shard.message.shard.first + row)

            yield fetch

    def _from_cargo(self, shard: Shard) -> Callable[[int], bytes]:
        server = self._servers.setdefault(shard.cargo, server_of(self._broker, shard.cargo))
        cargo, first = Cargo(server, shard.message.run), shard.message.shard.first
        return lambda row: self._patiently(cargo, first + row)

    def _patiently(self, cargo: Cargo, item: int) -> bytes:
        """A server that is gone for a while is waited for."""
        deadline, outage = time.monotonic() + CARGO_PATIENCE_S, Outage(log, f"item {item}'s bytes")
        while True:
            try:
                data = cargo.fetch(item)
                outage.worked()
                return data
            except redis.RedisError as error:
                if time.monotonic() >= deadline or self._slot.ending:
                    raise CutOff(f"the images' bytes cannot be had: {reason(error)}") from None
                outage.outwait(error, lambda: self._slot.ending)
