"""An owner's looks at its broker in; how long it may be away, and whether its clock and heartbeats count, out."""

from __future__ import annotations

import logging
import time

from common.broker.outage import LOGIN_MOST_S, Outage
from common.broker.replies import passes, why_not
from common.errors import BrokerError
from common.limits import BROKER_PATIENCE_S, HEARTBEAT_LIFE_S

log = logging.getLogger(__name__)

#: Seconds between looks for a broker's return; up to so many where it does not know us.
_AGAIN_S, _LOGIN_MOST_S = 0.5, 10.0
#: Seconds that the broker's clock may be off from one look to the next, and that two looks may be apart.
_JUMP_S = 5.0
#: Seconds for which heartbeats prove no death after the broker was away or lost what it knew: all must come back first.
_SHAKEN_S = 2 * HEARTBEAT_LIFE_S


class Unrest:
    """Remembers when the broker was last away."""

    def __init__(self) -> None:
        self._last_look = time.monotonic()
        #: When the broker last did its work.
        self._well = self._last_look
        self._shaken_until = 0.0
        self._outage = Outage(
            log, f"waiting for the broker, up to {BROKER_PATIENCE_S:g} s", "the broker does its work again"
        )
        #: The broker's clock less our monotonic one.
        self._clock: float | None = None

    def outwait(self, error: Exception) -> None:
        """Wait a little for a broker that is gone, loading or full. Raises BrokerError when it was so for too long.

        Raises the error itself where the broker will never do what is asked.
        """
        if not passes(error):
            raise error
        again_s = max(_AGAIN_S, min(_LOGIN_MOST_S, self._outage.failed(error, self._well)))
        if self._outage.lasted_s >= BROKER_PATIENCE_S:
            raise BrokerError(
                f"the broker has not done its work for {BROKER_PATIENCE_S:g} s: {why_not(error)}"
            ) from None
        time.sleep(again_s)

    def over(self) -> None:
        """The broker does its work."""
        if self._outage.refused:
            # Workers come back one by one: what waits for its next login sends no heartbeat.
            self._shaken_until = time.monotonic() + LOGIN_MOST_S + _SHAKEN_S
        self._outage.worked()
        self._well = time.monotonic()

    def looked(self, lost: bool) -> None:
        """Once a second, while all is well. `lost`: the broker has forgotten what it knew."""
        now = time.monotonic()
        if lost or now - self._last_look > _JUMP_S:
            self._shaken_until = max(self._shaken_until, now + _SHAKEN_S)
        self._last_look = now

    @property
    def shaken(self) -> bool:
        """Whether a heartbeat that is missed may only have been lost."""
        return time.monotonic() < self._shaken_until

    def jumped(self, now: float) -> bool:
        """Whether the broker's clock, Redis TIME in seconds, went another way than ours since the last look."""
        before, self._clock = self._clock, now - time.monotonic()
        return before is not None and abs(self._clock - before) > _JUMP_S
