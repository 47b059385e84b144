"""A shard's fetches in; their bytes out one after the other, asked for while the images before them are looked at."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from common.limits import FETCH_AHEAD


class Ahead:
    """What comes through a network takes a round trip each: they overlap, and so do they with the detector's work."""

    def __init__(self, threads: ThreadPoolExecutor, fetch: Callable[[int], bytes], count: int) -> None:
        self._threads = threads
        self._fetch = fetch
        self._rows = iter(range(count))
        self._asked: deque[Future[bytes]] = deque()

    def next(self) -> bytes:
        """The next row's bytes; raises what its fetch raised."""
        for row in self._rows:
            self._asked.append(self._threads.submit(self._fetch, row))
            if len(self._asked) > FETCH_AHEAD:
                break
        return self._asked.popleft().result()

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
