"""A producer's question in; what this machine sees of its files, and whether it reaches its cargo, out."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import redis

from common.datasets import unpack_path
from common.errors import ManyeyesError
from common.limits import SIGHT_S
from common.protocol.file_probe import Sight, look
from common.protocol.relay import NOWHERE, server_of
from worker.reading.roots import Roots

log = logging.getLogger(__name__)

#: The latest of each, by name.
_threads: dict[str, threading.Thread] = {}


def answer(client: redis.Redis, roots: Roots, root: str, paths: list[str], cargo: str) -> Sight:
    """A disk that hangs is not seen: the worker's parent waits no longer than the producer does."""
    found: list[tuple[str | None, ...]] = []
    files = [(unpack_path(root), unpack_path(path)) for path in paths]
    reached: list[bool] = []
    # A firewall that drops what it does not let through is as silent as a disk that hangs.
    threads = (
        _begin("sight", lambda: found.append(look(files, roots.read))),
        _begin("reach", lambda: reached.append(_reached(client, cargo))),
    )
    deadline = time.monotonic() + SIGHT_S / 2
    for thread in filter(None, threads):
        thread.join(max(0.0, deadline - time.monotonic()))
    return Sight(found[0] if found else (None,) * len(files), any(reached))


def _begin(name: str, do: Callable[[], None]) -> threading.Thread | None:
    """None while the one before hangs: else each question about a dead disk would leave one more behind."""
    last = _threads.get(name)
    if last is not None and last.is_alive():
        log.warning("an earlier question of a producer hangs still (%s); this one is answered with nothing seen", name)
        return None
    _threads[name] = thread = threading.Thread(target=do, name=name, daemon=True)
    thread.start()
    return thread


def _reached(client: redis.Redis, cargo: str) -> bool:
    if cargo == NOWHERE:
        return False
    try:
        return bool(server_of(client, cargo).ping())
    except (redis.RedisError, ManyeyesError):
        return False
