"""A broker that gives no answer in; how it fails, and whether to wait for it, out. Nothing here waits long itself."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit

import redis

from common.broker import sentinel
from common.broker.error_text import reason
from common.broker.replies import NotNow, not_now
from common.errors import BrokerAway
from common.redaction import redact

T = TypeVar("T")

#: Seconds for each of two looks at a broker that has not answered: for its address, and whether it takes connections.
_LOOK_S = 1.0
_DEFAULT_PORT = 6379
#: What a server says, before it hangs up, to one client too many: to redis-py a lost connection.
_CROWDED = "max number of clients"


def within(seconds: float, work: Callable[[], T]) -> T:
    """What `work` returns or raises. Raises redis.TimeoutError when the time is up, and leaves it to itself.

    It runs in a thread that ends with the process: no name server that takes its time, no byte every other second and
    no retry inside a library holds the caller up, and Ctrl-C is heard at once.
    """
    outcome: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            outcome.put((work(), None))
        except BaseException as error:
            outcome.put((None, error))

    threading.Thread(target=run, name="question", daemon=True).start()
    try:
        answer, error = outcome.get(timeout=seconds)
    except queue.Empty:
        raise redis.TimeoutError(f"no whole answer within {seconds:g} s") from None
    if error is not None:
        raise error
    return answer  # type: ignore[return-value]  # without an error it is what `work` returned


def away(url: str, error: redis.RedisError) -> BrokerAway | None:
    """What is told of a broker that hangs, has no address, or says that it is for later; None for all else.

    Of one that has timed out it is seen, within two seconds, whether it takes connections.
    """
    broker = f"broker {redact(url)}"
    if isinstance(error, redis.exceptions.BusyLoadingError):
        # The one "not now" that redis-py itself takes for a lost connection.
        error = not_now("LOADING")
    if _CROWDED in str(error):
        return BrokerAway(f"{broker} takes no more clients now: {reason(error)}; end some, or raise its maxclients")
    if isinstance(error, NotNow):
        return BrokerAway(f"{broker} does its work later: {error}; wait, or see its log")
    if isinstance(error, redis.TimeoutError):
        return BrokerAway(f"{broker} {_where_it_hangs(url, error)}")
    if isinstance(error.__context__, socket.gaierror):
        return _nameless(url, error.__context__)
    return None


def _nameless(url: str, fault: socket.gaierror) -> BrokerAway:
    said = f"broker {redact(url)} is not found: no address is known for {urlsplit(url).hostname} ({fault.strerror})"
    if fault.errno == socket.EAI_AGAIN:
        return BrokerAway(f"{said}; the name server does not answer: look at this machine's network")
    return BrokerAway(f"{said}; correct the name, or see that it is known here", mistakable=True)


def _where_it_hangs(url: str, error: redis.TimeoutError) -> str:
    parts = urlsplit(url)
    if parts.hostname and not sentinel.is_sentinel(url):
        there = (parts.hostname, parts.port or _DEFAULT_PORT)
        if not _done(lambda: socket.getaddrinfo(*there, type=socket.SOCK_STREAM)):
            return f"is not found: the name server does not say in time where {parts.hostname} is"
        accepts = _done(lambda: socket.create_connection(there, _LOOK_S).close())
    else:
        accepts = "connecting" not in str(error)
    if accepts:
        return (
            "takes connections and does not answer: it hangs or is stopped, its machine swaps, or something else "
            "listens there; look at it there, `kill -CONT` it or start it again"
        )
    return (
        "takes no connection, and refuses none: its machine is off, a firewall drops what is sent there, or it hangs; "
        "look at it there, and whether its port is open"
    )


def _done(look: Callable[[], object]) -> bool:
    try:
        within(_LOOK_S, look)
    except (redis.TimeoutError, OSError):
        return False
    return True
