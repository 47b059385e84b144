"""Items' paths in, their bytes in Redis out, within a bound: for workers that do not see the files."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

import redis

from common import datasets
from common.errors import ItemCode, ItemError, ManyeyesError
from common.limits import FETCH_AHEAD, MAX_CARGO_BYTES, SHIPMENT_BYTES, SHIPMENT_S
from common.protocol.relay import Cargo

Found = bytes | ItemError


@dataclass(frozen=True, slots=True)
class _Sending:
    """On its way to the server."""

    items: range
    future: Future[None]


class Shipper:
    """Loads what open shards need, and unloads what is collected. One owner's; the bound holds over all its shards.

    Disks and networks may take their time: threads wait for them, and whoever asks comes again.
    """

    def __init__(self, cargo: Cargo, root: bytes, window: int) -> None:
        self._cargo = cargo
        self._root = root
        self._window = window
        #: Bytes by item, of what is loaded or being sent.
        self._held: dict[int, int] = {}
        self._bytes = 0
        #: Items that are read and not yet sent: what is slow, and what the shard before had no room for.
        self._reading: dict[int, Future[Found]] = {}
        self._sending: _Sending | None = None
        #: What has been sent meanwhile, by its first item, and nobody has asked for again.
        self._sent: dict[int, int] = {}
        #: The first item of an open shard whose bytes are missing: nothing new is loaded before it.
        self._owed: int | None = None
        self._readers = ThreadPoolExecutor(FETCH_AHEAD, "ship")
        self._sender = ThreadPoolExecutor(1, "send")
        # What another owner has left counts in no bound. Shards that miss it say so.
        cargo.clear()

    def load(self, first: int, paths: Sequence[bytes], processes: int) -> int:
        """How many of the items from `first` on are loaded now: as many as a shard may have. 0: none just now.

        Every process must find a shard, and another must wait for it. Raises redis.RedisError, ManyeyesError.
        """
        if self._owed is not None:
            return 0
        return self._load(first, paths, min(SHIPMENT_BYTES, self._window // (2 * processes)))

    def load_again(self, first: int, paths: Sequence[bytes]) -> int:
        """The same of an open shard, whose bytes were lost."""
        if self._owed != first:
            self.unload(first, len(paths))
        self._owed = first
        if loaded := self._load(first, paths, SHIPMENT_BYTES):
            self._owed = None
        return loaded

    def _load(self, first: int, paths: Sequence[bytes], most: int) -> int:
        until = time.monotonic() + SHIPMENT_S
        self._await_sent(until)
        # What was sent for a shard that is not the next after all would keep room from those that are.
        for start in [start for start in self._sent if start != first]:
            count = self._sent.pop(start)
            self._forget([item for item in range(start, start + count) if item in self._held])
        if first not in self._sent and self._sending is None:
            found = self._read(first, paths, most, until - SHIPMENT_S / 2)
            if not found:
                return 0
            self._send(found)
            self._await_sent(until)
        return min(self._sent.pop(first, 0), len(paths))

    def _read(self, first: int, paths: Sequence[bytes], most: int, until: float) -> dict[int, Found]:
        """What there is by then of the first items, and has room."""
        found: dict[int, Found] = {}
        size, room = 0, self._window - self._bytes
        if self._held and room <= 0:
            return found
        for row in range(len(paths)):
            for ahead in range(row, min(row + FETCH_AHEAD, len(paths))):
                if first + ahead not in self._reading:
                    self._reading[first + ahead] = self._readers.submit(self._read_one, paths[ahead])
            reading = self._reading[first + row]
            wait([reading], max(0.0, until - time.monotonic()))
            if not reading.done():
                break
            data = reading.result()
            # The first may be larger than a shard should be, and where nothing else is there, than the window.
            bound = min(most, room) if found else room
            if size + _size(data) > bound and (found or self._held):
                break
            found[first + row] = data
            size += _size(data)
            del self._reading[first + row]
        return found

    def _send(self, found: dict[int, Found]) -> None:
        for item, data in found.items():
            self._bytes += _size(data) - self._held.get(item, 0)
            self._held[item] = _size(data)
        items = range(min(found), max(found) + 1)
        self._sending = _Sending(items, self._sender.submit(self._cargo.load, found))

    def _await_sent(self, until: float) -> None:
        """Raises redis.RedisError of a sending that failed; then it is as if it had never begun."""
        if (sending := self._sending) is None:
            return
        wait([sending.future], max(0.0, until - time.monotonic()))
        if not sending.future.done():
            return
        self._sending = None
        if (error := sending.future.exception()) is not None:
            self._account_off([item for item in sending.items if item in self._held])
            raise error
        self._sent[sending.items.start] = len(sending.items)

    def _read_one(self, path: bytes) -> Found:
        try:
            data = datasets.fetch(self._root, path, datasets.of_owner(datasets.whole(self._root, path)))
        except ItemError as error:
            if error.code is ItemCode.MISSING_PACKAGE:
                raise ManyeyesError(f"the images cannot be read here: {error}") from None
            return error
        if len(data) > MAX_CARGO_BYTES:
            text = f"{len(data)} bytes; through Redis at most {MAX_CARGO_BYTES} can go: give workers its disk"
            return ItemError(ItemCode.TOO_LARGE, text)
        return data

    def unload(self, first: int, count: int) -> None:
        """Also of a shard that waits for room: it has another turn, or needs none, for it has ended all the same."""
        items = range(first, first + count)
        if self._owed in items:
            self._owed = None
        self._forget([item for item in items if item in self._held])
        for item in items:
            self._sent.pop(item, None)
            self._reading.pop(item, None)

    def unload_but(self, kept: Iterable[range]) -> None:
        """All but these items': what the broker has forgotten of is opened, and loaded, anew."""
        items = set[int]().union(*kept)
        self._owed = None
        self._sent.clear()
        self._forget([item for item in self._held if item not in items])

    def _forget(self, items: Sequence[int]) -> None:
        if items:
            self._account_off(items)
            self._cargo.unload(items)

    def _account_off(self, items: Sequence[int]) -> None:
        self._bytes -= sum(self._held.pop(item) for item in items)

    def keep(self) -> None:
        self._cargo.keep()

    def end(self) -> None:
        """A server that is gone has nothing to clear; and no run that is done fails for it."""
        for threads in (self._readers, self._sender):
            threads.shutdown(wait=False, cancel_futures=True)
        with contextlib.suppress(redis.RedisError):
            self._cargo.clear()


def _size(data: Found) -> int:
    return len(data) if isinstance(data, bytes) else 0
