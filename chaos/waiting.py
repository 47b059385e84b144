"""A condition in; nothing out until it holds, or an error that says where the logs are."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from common.errors import ManyeyesError

#: Seconds between two looks.
_LOOK_S = 0.05


@dataclass(frozen=True, slots=True)
class Waiting:
    """Of one chaos run, whose processes write their logs there."""

    logs: Path

    def wait(
        self, done: Callable[[], bool], limit_s: float, what: str, tick: Callable[[], None] = lambda: None
    ) -> None:
        """`tick` is called at each look. Raises ManyeyesError after `limit_s`."""
        deadline = time.monotonic() + limit_s
        while not done():
            if time.monotonic() > deadline:
                raise ManyeyesError(f"{what}: not after {limit_s:g} s; the logs in {self.logs} say why")
            tick()
            time.sleep(_LOOK_S)
