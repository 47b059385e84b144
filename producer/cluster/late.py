"""Something that may take a while in; a line for who waits for it, if it does, out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: Seconds after which somebody at a terminal wants to hear what is waited for.
LATE_S = 4.0


@contextmanager
def told_if_late(say: Callable[[str], None], line: str) -> Iterator[None]:
    timer = threading.Timer(LATE_S, say, (line,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
