"""What a worker needs before it serves anything in: locks, a broker that takes it; a UsageError or BrokerError out."""

from __future__ import annotations

import logging
import time

import redis
from billiard import Lock

from common.broker.asking import ask
from common.broker.replies import wants_login
from common.errors import BrokerAway, BrokerError, UsageError
from common.limits import BROKER_PATIENCE_S, BROKER_START_S
from common.protocol import heartbeats

log = logging.getLogger("manyeyes.worker")

#: Seconds between two looks at a broker; before the second login where the first was refused, then twice as many.
_AGAIN_S, _LOGIN_S = 0.2, 1.0


def check_locks() -> None:
    """The pool's processes share some, which the system keeps in a folder of its own. Raises UsageError."""
    try:
        Lock()
    except OSError as error:
        raise UsageError(
            f"/dev/shm, in which a worker's processes share their locks, cannot be used ({error.strerror}); "
            "make room there, or mount one: docker run --shm-size 64m, or --tmpfs /dev/shm"
        ) from None


def await_broker(url: str, node: str) -> None:
    """A broker that hangs or does its work later is waited for as by a run, one that is not there or refuses us less.

    Raises BrokerError for one that stays away.
    """
    since, told, pause_s = time.monotonic(), False, _AGAIN_S
    absent_since = since
    while True:
        try:
            # Nobody but a worker's user may: another's is told so before a model is loaded for nothing.
            return ask(url, lambda client: heartbeats.worker_leave(client, node))
        except redis.exceptions.NoPermissionError as error:
            raise UsageError(f"the broker refuses this worker: {error}") from None
        except BrokerError as error:
            if there := isinstance(error, BrokerAway) and not error.mistakable:
                absent_since = time.monotonic()
            limit = BROKER_PATIENCE_S if there else BROKER_START_S
            left_s = min(since + BROKER_PATIENCE_S, absent_since + limit) - time.monotonic()
            if left_s <= 0:
                raise
            if not told:
                log.warning("waiting up to %g s: %s", limit, error)
                told = True
            # Servers count wrong logins.
            pause_s = max(_LOGIN_S, 2 * pause_s) if wants_login(error.__context__ or error) else _AGAIN_S
            time.sleep(min(pause_s, left_s))
