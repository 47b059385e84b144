"""Tries that fail and tries that work in; a line of log for each kind of trouble, one for its end, and a wait out."""

from __future__ import annotations

import logging
import time

from common.broker.replies import wants_login, why_not

#: Seconds before a login that was refused is tried again, twice as many before each further one, and the most: that
#: takes a person, and servers count wrong logins.
_LOGIN_S, LOGIN_MOST_S = 1.0, 30.0


class Outage:
    """Of one thread, which tries again and again."""

    def __init__(self, log: logging.Logger, waits: str, back: str) -> None:
        """`waits`: what stands before the reason; `back`: before how long it took."""
        self._log = log
        self._waits = waits
        self._back = back
        #: When it began; None: the broker does its work.
        self._since: float | None = None
        #: What was told: whether somebody must do something.
        self._told: set[bool] = set()
        self._refused = 0

    def failed(self, error: Exception, since: float | None = None) -> float:
        """Seconds that the next try must wait at least: none, unless the broker does not know us.

        `since`: when it last did its work, monotonic; what hangs is noticed late.
        """
        login = wants_login(error)
        self._since = self._since or since or time.monotonic()
        if login not in self._told:
            self._told.add(login)
            self._log.warning("%s: %s", self._waits, why_not(error))
        if not login:
            return 0.0
        self._refused = min(self._refused + 1, 16)
        return min(LOGIN_MOST_S, _LOGIN_S * 2.0 ** (self._refused - 1))

    @property
    def lasted_s(self) -> float:
        return 0.0 if self._since is None else time.monotonic() - self._since

    @property
    def refused(self) -> bool:
        """Whether it did not know us, in this outage."""
        return self._refused > 0

    def let_in(self) -> None:
        """It knows us, whether or not it does its work: the next refusal is a first one."""
        self._refused = 0

    def worked(self) -> None:
        if self._since is not None:
            self._log.warning("%s, after %.0f s", self._back, self.lasted_s)
        self._since, self._refused = None, 0
        self._told.clear()
