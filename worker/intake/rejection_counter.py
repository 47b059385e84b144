"""Refused messages in; counts in Redis and a few lines of log out, however many come."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter

import redis

from common.errors import ProtocolError
from common.logs import printable
from common.protocol import rejections
from common.protocol.rejections import Reason, Refused

log = logging.getLogger("manyeyes.worker")

#: Seconds between two lines about the same reason: who sends rubbish must not fill the disk.
_LINE_S = 10.0
#: Characters of a line: some of it is the sender's.
_LINE = 300


class Refusals:
    """Of one process: the worker's parent or a pool process. Any thread may note."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._untold: Counter[str] = Counter()
        self._silent: Counter[str] = Counter()
        self._said: dict[str, float] = {}

    def note(self, error: ProtocolError) -> None:
        reason = error.reason if isinstance(error, Refused) else Reason.PROTOCOL
        now = time.monotonic()
        with self._lock:
            self._untold[reason] += 1
            if now < self._said.get(reason, 0.0) + _LINE_S:
                self._silent[reason] += 1
                return
            self._said[reason] = now
            more = self._silent.pop(reason, 0)
        line = printable(str(error)[:_LINE])
        log.error("refused: %s%s", line, f" (and {more} more, {reason}, since the last such line)" if more else "")

    def tell(self, client: redis.Redis) -> None:
        """Raises RedisError; then it is told later."""
        with self._lock:
            told, self._untold = self._untold, Counter()
        if not told:
            return
        try:
            rejections.count(client, told)
        except redis.RedisError:
            with self._lock:
                self._untold += told
            raise
