"""Open shards in; their images within the workers' reach out, however far those are."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from common.protocol.ledger import Ledger
from common.protocol.messages import ShardId
from common.protocol.relay import NOWHERE, Cargo, server_of
from producer.relay.shipper import Shipper
from producer.relay.transport import Transport, Way, cargo_place

log = logging.getLogger(__name__)


class Carriage:
    """Does nothing while workers read for themselves; ships where they cannot, from the beginning or from now on."""

    def __init__(self, ledger: Ledger, root: bytes, transport: Transport, way: Way) -> None:
        self._ledger = ledger
        self._root = root
        self._transport = transport
        self._shipper: Shipper | None = None
        #: What claims say of where the images' bytes are; see common.protocol.relay.
        self.place = NOWHERE
        if way is Way.REDIS:
            self._ship()

    def _ship(self) -> None:
        broker = self._ledger.client
        self.place = cargo_place(broker)
        cargo = Cargo(server_of(broker, self.place), self._ledger.run)
        shipper = Shipper(cargo, self._root, self._transport.window)
        # Last: should the broker not take the word, it is said again.
        self._ledger.restore({"cargo": self.place})
        self._shipper = shipper

    def ship_instead(self, what: str) -> bool:
        """Somebody cannot read what is there: whether such shards are shipped now. As the user has it."""
        if self._transport.way not in (Way.AUTO, Way.REDIS):
            return False
        if self._shipper is None:
            log.warning("%s, which this machine can; images go through Redis from now on", what)
            self._ship()
        return True

    def load(self, first: int, paths: Sequence[bytes], processes: int) -> int:
        """How many of the items from `first` on a shard may have; 0: none just now."""
        return len(paths) if self._shipper is None else self._shipper.load(first, paths, processes)

    def load_again(self, first: int, paths: Sequence[bytes]) -> int:
        """The same of a shard that is open."""
        return len(paths) if self._shipper is None else self._shipper.load_again(first, paths)

    def unload(self, first: int, count: int) -> None:
        """Nobody needs these items any more, or they are to be read anew."""
        if self._shipper is not None:
            self._shipper.unload(first, count)

    def unload_but(self, kept: Iterable[ShardId]) -> None:
        """Only these shards are open still: the broker was started again, and knows of no others."""
        if self._shipper is not None:
            self._shipper.unload_but(range(shard.first, shard.first + shard.count) for shard in kept)

    def keep(self) -> None:
        """Once a second."""
        if self._shipper is not None:
            self._shipper.keep()

    def end(self) -> None:
        if self._shipper is not None:
            self._shipper.end()
