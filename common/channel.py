"""kombu's channel to Redis, by clients to whom "not now" is a lost connection: Celery reconnects, and ends nothing."""

from __future__ import annotations

import functools
from typing import Any

from kombu import transport
from kombu.transport import redis as kombu_redis

from common.replies import Patient


class _Pipeline(Patient, kombu_redis.PrefixedRedisPipeline):
    pass


class _Client(Patient, kombu_redis.PrefixedStrictRedis):
    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Any:
        return _Pipeline(
            *(self.connection_pool, self.response_callbacks, transaction, shard_hint),
            global_keyprefix=self.global_keyprefix,
        )


class Channel(kombu_redis.Channel):
    def _get_client(self) -> Any:
        super()._get_client()  # type: ignore[misc]  # it checks redis-py's version
        return functools.partial(_Client, global_keyprefix=self.global_keyprefix)


class Transport(kombu_redis.Transport):
    """kombu's, for the whole process: see `register`."""

    Channel = Channel


def register() -> None:
    """From now on, in this process: a broker's URL means this transport."""
    for scheme in ("redis", "rediss"):
        transport.TRANSPORT_ALIASES[scheme] = "common.channel:Transport"
        transport._transport_cache.pop(scheme, None)  # type: ignore[attr-defined]
