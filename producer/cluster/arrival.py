"""The URL of a broker that was given in; its answers while a run begins, waited for aloud, out."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import redis

from common.broker.asking import ask, heard
from common.broker.connect import client, impatient
from common.errors import BrokerAway
from common.limits import BROKER_PATIENCE_S, HEARTBEAT_LIFE_S

T = TypeVar("T")

_AGAIN_S = 0.5


class Arrival:
    """Waits for a broker that hangs, or says that it is for later, as long as an owner does; and says so at once.

    Where nothing listens, or the name is unknown, the URL may be mistyped: that is waited for `wait_s` seconds only,
    unless the broker has answered before.
    """

    def __init__(self, url: str, wait_s: float, say: Callable[[str], None]) -> None:
        """Raises UsageError for what is no broker's URL. Connects to nothing."""
        self._url = url
        self._wait_s = wait_s
        self._say = say
        #: For questions that are short, one at a time.
        self.client = impatient(client(url))
        self._met = False
        #: Until when, in monotonic seconds, workers that were cut off with us may still be on their way back.
        self.workers_back_by = 0.0

    def meet(self) -> None:
        """Raises BrokerError for one that cannot be met, or is away for too long."""
        self._wait_for(lambda: ask(self._url, lambda _: None))

    def ask(self, question: Callable[[redis.Redis], T]) -> T:
        """`question` is asked until it is answered. Raises BrokerError, and what else the server says."""
        return self._wait_for(lambda: heard(self._url, lambda: question(self.client)))

    def _wait_for(self, try_it: Callable[[], T]) -> T:
        since = None
        while True:
            try:
                answer = try_it()
            except BrokerAway as error:
                now = time.monotonic()
                # What hangs, or does its work later, is there.
                self._met = self._met or not error.mistakable
                limit = self._wait_s if not self._met else max(self._wait_s, BROKER_PATIENCE_S)
                if limit <= 0:
                    raise
                if since is None:
                    since = now
                    self._say(f"waiting up to {limit:g} s: {error}")
                if now - since >= limit:
                    raise BrokerAway(f"waited {limit:g} s: {error}") from None
                time.sleep(_AGAIN_S)
            else:
                self._met = True
                if since is not None:
                    self._say("the broker answers")
                    # Their heartbeats may have run out meanwhile.
                    self.workers_back_by = time.monotonic() + 2 * HEARTBEAT_LIFE_S
                return answer
