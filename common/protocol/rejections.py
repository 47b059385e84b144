"""What workers refuse to take, counted in Redis by its reason: for whoever watches."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import cast

import redis

from common.broker.connect import PREFIX
from common.errors import ProtocolError

#: A hash: reason to how often.
REFUSED_KEY = f"{PREFIX}refused"


class Reason(StrEnum):
    """Why a message was refused. A small, fixed set: it becomes a label of metrics."""

    #: Not JSON: pickle, YAML, msgpack, bytes.
    CONTENT_TYPE = "content_type"
    COMPRESSED = "compressed"
    TOO_LARGE = "too_large"
    #: No message at all: broken JSON, wrong types, something missing.
    MALFORMED = "malformed"
    #: Another task than the one that there is.
    UNKNOWN_TASK = "unknown_task"
    #: With what would make Celery do more than the task: callbacks, a chain, a time to begin, limits.
    OPTIONS = "options"
    #: Another version, unknown fields, or Redis holds other things than the message says.
    PROTOCOL = "protocol"
    #: A command that workers do not take from afar.
    CONTROL = "control"


class Refused(ProtocolError):
    """A message that is not taken, and why. Sending it again cannot make it right."""

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text)
        self.reason = reason


def counts(client: redis.Redis) -> dict[str, int]:
    """How often what was refused so far, by the reason's name."""
    return parsed(cast("dict[bytes, bytes]", client.hgetall(REFUSED_KEY)))


def parsed(fields: Mapping[bytes, bytes]) -> dict[str, int]:
    """The hash as Redis gives it. What is no number was not counted by a worker, and is passed over."""
    return {reason.decode(errors="replace"): int(times) for reason, times in fields.items() if times.isdigit()}


def count(client: redis.Redis, refused: Mapping[str, int]) -> None:
    """Add to what is counted already, in one round trip."""
    pipe = client.pipeline(transaction=False)
    for reason, times in refused.items():
        pipe.hincrby(REFUSED_KEY, reason, times)
    pipe.execute()
