"""A producer's question in; what this machine sees of its files, and whether it reaches its cargo, out."""

from __future__ import annotations

import threading
import time

import redis

from common.cargo import NOWHERE, server_of
from common.datasets import unpack_path
from common.errors import ManyeyesError
from common.limits import SIGHT_S
from common.sight import Sight, look
from worker.roots import Roots


def answer(client: redis.Redis, roots: Roots, root: str, paths: list[str], cargo: str) -> Sight:
    """A disk that hangs is not seen: the worker's parent waits no longer than the producer does."""
    found: list[tuple[str | None, ...]] = []
    files = [(unpack_path(root), unpack_path(path)) for path in paths]
    reached: list[bool] = []
    # A firewall that drops what it does not let through is as silent as a disk that hangs.
    threads = [
        threading.Thread(target=lambda: found.append(look(files, roots.read)), name="sight", daemon=True),
        threading.Thread(target=lambda: reached.append(_reached(client, cargo)), name="reach", daemon=True),
    ]
    deadline = time.monotonic() + SIGHT_S / 2
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return Sight(found[0] if found else (None,) * len(files), any(reached))


def _reached(client: redis.Redis, cargo: str) -> bool:
    if cargo == NOWHERE:
        return False
    try:
        return bool(server_of(client, cargo).ping())
    except (redis.RedisError, ManyeyesError):
        return False
