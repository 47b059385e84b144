"""A worker's tries that fail and tries that work in; its log's words, and a wait that its end cuts short, out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from common.broker import outage
from common.limits import HEARTBEAT_S


class Outage(outage.Outage):
    """Of one thread, which does `what`."""

    def __init__(self, log: logging.Logger, what: str) -> None:
        super().__init__(log, f"{what}: waits for the broker", f"{what}: the broker is back")

    def outwait(self, error: Exception, ending: Callable[[], bool]) -> None:
        """Until the next try, or until `ending`."""
        until = time.monotonic() + max(self.failed(error), HEARTBEAT_S / 2)
        while (left := until - time.monotonic()) > 0 and not ending():
            time.sleep(min(left, HEARTBEAT_S / 2))
