"""Tries that fail and tries that work in; two lines of log out: when a broker is out of reach, and when it is back."""

from __future__ import annotations

import logging
import time


class Outage:
    """Of one thread, which tries again and again."""

    def __init__(self, log: logging.Logger, what: str) -> None:
        self._log = log
        self._what = what
        self._since: float | None = None

    def failed(self, error: Exception) -> None:
        if self._since is None:
            self._since = time.monotonic()
            self._log.warning("%s: waits for the broker: %s", self._what, error)

    def worked(self) -> None:
        if self._since is not None:
            self._log.info("%s: the broker is back, after %.0f s", self._what, time.monotonic() - self._since)
            self._since = None
