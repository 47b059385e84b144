"""Items' paths in, their bytes in Redis out, within a bound: for workers that do not see the files."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import redis

from common import datasets
from common.cargo import Cargo
from common.errors import ItemCode, ItemError
from common.limits import FETCH_AHEAD, MAX_CARGO_BYTES, SHIPMENT_BYTES, SHIPMENT_S


class Shipper:
    """Loads what open shards need, and unloads what is collected. One owner's; the bound holds over all its shards."""

    def __init__(self, cargo: Cargo, root: bytes, window: int) -> None:
        self._cargo = cargo
        self._root = root
        self._window = window
        #: Bytes by item, of what is loaded.
        self._held: dict[int, int] = {}
        self._bytes = 0
        #: The first item of an open shard that waits for room: nothing new is loaded before it.
        self._owed: int | None = None
        self._threads = ThreadPoolExecutor(FETCH_AHEAD, "ship")
        # What another owner has left counts in no bound. Shards that miss it say so.
        cargo.clear()

    def load(self, first: int, paths: Sequence[bytes], processes: int) -> int:
        """How many of the items from `first` on are loaded now: as many as a shard may have; 0 where there's no room.

        Every process must find a shard, and another must wait for it.
        """
        if self._owed is not None:
            return 0
        return self._load(first, paths, min(SHIPMENT_BYTES, self._window // (2 * processes)))

    def load_again(self, first: int, paths: Sequence[bytes]) -> int:
        """The same of an open shard, whose bytes were lost."""
        self.unload(first, len(paths))
        loaded = self._load(first, paths, SHIPMENT_BYTES)
        if loaded == 0:
            self._owed = first
        return loaded

    def _load(self, first: int, paths: Sequence[bytes], most: int) -> int:
        room = self._window - self._bytes
        if self._held and room <= 0:
            return 0
        found: dict[int, bytes | ItemError] = {}
        size, budget = 0, min(most, room)
        until = time.monotonic() + SHIPMENT_S
        for item, data in zip(range(first, first + len(paths)), self._read_all(paths, budget), strict=False):
            more = len(data) if isinstance(data, bytes) else 0
            if size + more > budget and (found or self._held):
                break
            found[item], size = data, size + more
            # What is asked for at once is taken, or it would be read once more.
            if len(found) % FETCH_AHEAD == 0 and time.monotonic() >= until:
                break
        if found:
            self._cargo.load(found)
            held = {item: len(data) if isinstance(data, bytes) else 0 for item, data in found.items()}
            self._held.update(held)
            self._bytes += size
        return len(found)

    def _read_all(self, paths: Sequence[bytes], budget: int) -> Iterator[bytes | ItemError]:
        """As many as are likely to fit: what is read and not loaded is read once more."""
        likely, size = 0, 0
        for path in paths:
            size += self._size(path)
            if likely and size > budget:
                break
            likely += 1
        for start in range(0, likely, FETCH_AHEAD):
            yield from self._threads.map(self._read, paths[start : min(start + FETCH_AHEAD, likely)])

    def _size(self, path: bytes) -> int:
        """Of a file that can be read; what lies behind a URL is not asked for."""
        try:
            return 0 if datasets.is_url(self._root) else os.stat(datasets.whole(self._root, path)).st_size  # noqa: PTH116
        except OSError:
            return 0

    def _read(self, path: bytes) -> bytes | ItemError:
        try:
            data = datasets.fetch(self._root, path)
        except ItemError as error:
            return error
        if len(data) > MAX_CARGO_BYTES:
            text = f"{len(data)} bytes; through Redis at most {MAX_CARGO_BYTES} can go: give workers its disk"
            return ItemError(ItemCode.TOO_LARGE, text)
        return data

    def unload(self, first: int, count: int) -> None:
        """Also of a shard that waits for room: it has another turn, or needs none, for it has ended all the same."""
        if self._owed is not None and first <= self._owed < first + count:
            self._owed = None
        self._forget([item for item in range(first, first + count) if item in self._held])

    def unload_but(self, kept: Iterable[range]) -> None:
        """All but these items': what the broker has forgotten of is opened, and loaded, anew."""
        items = set[int]().union(*kept)
        self._owed = None
        self._forget([item for item in self._held if item not in items])

    def _forget(self, items: Sequence[int]) -> None:
        if items:
            self._bytes -= sum(self._held.pop(item) for item in items)
            self._cargo.unload(items)

    def keep(self) -> None:
        self._cargo.keep()

    def end(self) -> None:
        """A server that is gone has nothing to clear; and no run that is done fails for it."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        with contextlib.suppress(redis.RedisError):
            self._cargo.clear()
