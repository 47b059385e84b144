"""A condition in, its first true value out: how tests wait, for they never sleep."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

#: Seconds between looks.
_POLL_S = 0.01


def wait_until(condition: Callable[[], T], timeout: float = 90, what: str = "the condition") -> T:
    """Call `condition` until it returns something true, and return that. Fails the test after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: still not so after {timeout:g} s")
        time.sleep(_POLL_S)
    return value
