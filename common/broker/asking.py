"""A question to a broker in; its answer within seconds out, or one line that says why there is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import redis

from common.broker.connect import STEP_S, connect, impatient, trouble
from common.broker.silence import within

T = TypeVar("T")

#: Seconds in which a command that somebody waits for has its answer. It says why not within two more: see `silence`.
ANSWER_S = 6.0


def ask(url: str, question: Callable[[redis.Redis], T], seconds: float = ANSWER_S, step_s: float = STEP_S) -> T:
    """`question` is asked once, of a client that is closed then; no step of it may take longer, or is tried again.

    Raises BrokerError where the broker gives no answer in time, or refuses who asks; UsageError for a URL that is none.
    What else the server says passes through, as redis.ResponseError.
    """

    def put() -> T:
        with connect(url, step_s) as client, impatient(client, step_s) as asked:
            return question(asked)

    return heard(url, put, seconds)


def heard(url: str, work: Callable[[], T], seconds: float = ANSWER_S) -> T:
    """The same for `work` that has its own connection to that broker."""
    try:
        return within(seconds, work)
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise trouble(url, error) from None
