"""A run that has come to its end in; its messages taken out of its detector's queue, and no other run's."""

from __future__ import annotations

import logging

import redis

from common.broker.connect import PREFIX
from common.protocol.ledger import Ledger
from common.protocol.messages import queue_keys, task_queue

log = logging.getLogger(__name__)

#: Messages that are taken out in one step, which nobody else of the server has: some 10 ms.
_AT_ONCE = 1000


def withdraw(ledger: Ledger, queue: str) -> int:
    """How many messages of the run waited for a process, and do so no longer.

    No run fails for them: a worker that takes one is told that nobody needs it. `queue` is the detector's.
    """
    # In kombu's envelope the task's id, which begins with the run; the body is encoded, and nothing else is so quoted.
    mark = f'"{ledger.run}/'
    taken = 0
    try:
        for key in queue_keys(task_queue(queue)):
            while (some := ledger.withdraw(f"{PREFIX}{key}", mark, _AT_ONCE)) > 0:
                taken += some
    except redis.RedisError as error:
        log.warning("the run's messages stay in the queue until workers take and drop them: %s", error)
    return taken
