"""An owner's looks at its broker in; whether clocks and heartbeats can be believed just now, out."""

from __future__ import annotations

import time

from common.limits import HEARTBEAT_LIFE_S

#: Seconds that the broker's clock may be off from one look to the next, and that two looks may be apart.
_JUMP_S = 5.0
#: Seconds for which heartbeats prove no death after the broker was away or lost what it knew: all must come back first.
_SHAKEN_S = 2 * HEARTBEAT_LIFE_S


class Unrest:
    """Remembers when the broker was last away."""

    def __init__(self) -> None:
        self._last_look = time.monotonic()
        self._shaken_until = 0.0
        #: The broker's clock less our monotonic one.
        self._clock: float | None = None

    def looked(self, lost: bool) -> None:
        """Once a second, while all is well. `lost`: the broker has forgotten what it knew."""
        now = time.monotonic()
        if lost or now - self._last_look > _JUMP_S:
            self._shaken_until = now + _SHAKEN_S
        self._last_look = now

    @property
    def shaken(self) -> bool:
        """Whether a heartbeat that is missed may only have been lost."""
        return time.monotonic() < self._shaken_until

    def jumped(self, now: float) -> bool:
        """Whether the broker's clock, Redis TIME in seconds, went another way than ours since the last look."""
        before, self._clock = self._clock, now - time.monotonic()
        return before is not None and abs(self._clock - before) > _JUMP_S
