"""A shard's fetches in; their bytes out one after the other, asked for while the images before them are looked at."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager

from common.errors import ItemCode, ItemError
from common.limits import FETCH_AHEAD, FETCH_LIMIT_S

#: Seconds between looks whether the wait has an end.
_LOOK_S = 0.25


class Ahead:
    """What comes through a network takes a round trip each: they overlap, and so do they with the detector's work."""

    def __init__(self, threads: ThreadPoolExecutor, fetch: Callable[[int], bytes], count: int) -> None:
        self._threads = threads
        self._fetch = fetch
        self._rows = iter(range(count))
        self._asked: deque[Future[bytes]] = deque()

    def next(self, check: Callable[[], None]) -> bytes:
        """The next row's bytes; raises what its fetch raised, or `check`, several times a second.

        ItemError where nothing comes for very long: not every file system has bounds of its own.
        """
        for row in self._rows:
            self._asked.append(self._threads.submit(self._fetch, row))
            if len(self._asked) > FETCH_AHEAD:
                break
        future, until = self._asked.popleft(), time.monotonic() + FETCH_LIMIT_S
        while not wait([future], _LOOK_S).done:
            check()
            if time.monotonic() >= until:
                raise ItemError(ItemCode.READ_ERROR, f"nothing came for {FETCH_LIMIT_S:g} s; retry the item")
        return future.result()

    def cancel(self) -> None:
        """What nobody will look at is not fetched. What is on its way comes to nothing."""
        for future in self._asked:
            future.cancel()


@contextmanager
def ahead(threads: ThreadPoolExecutor, fetch: Callable[[int], bytes], count: int) -> Iterator[Ahead]:
    """Cancelled when the block ends."""
    found = Ahead(threads, fetch, count)
    try:
        yield found
    finally:
        found.cancel()
