"""kombu's channel to Redis, by clients to whom "not now" is a lost connection: Celery reconnects, and ends nothing."""

from __future__ import annotations

import functools
from typing import Any

from kombu import transport
from kombu.transport import redis as kombu_redis

from common import sentinel
from common.replies import Patient

#: Kombu shows its options to whoever asks a worker for its figures: they have a place in this list, and no password.
_addresses: list[sentinel.Address] = []
_SENTINEL = "sentinel"


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

    def _get_pool(self, asynchronous: bool = False) -> Any:
        options: dict[str, Any] = self.connection.client.transport_options  # type: ignore[union-attr,assignment]
        if _SENTINEL not in options:
            return super()._get_pool(asynchronous)  # type: ignore[misc]
        # Before kombu derives its own class from it.
        self.connection_class = sentinel.Connection
        params = self._connparams(asynchronous)  # type: ignore[attr-defined]
        self.keyprefix_fanout = self.keyprefix_fanout.format(db=params["db"])
        del params["host"], params["port"]
        return _addresses[options[_SENTINEL]].pool(**params)


class Transport(kombu_redis.Transport):
    """kombu's, for the whole process: see `register`."""

    Channel = Channel


def register(address: sentinel.Address | None) -> dict[str, Any]:
    """From now on, in this process: a broker's URL means this transport.

    What comes back belongs into the transport's options: which Sentinels are meant, and the name that Flower wants.
    """
    for scheme in ("redis", "rediss", sentinel.SCHEME):
        transport.TRANSPORT_ALIASES[scheme] = "common.channel:Transport"
        transport._transport_cache.pop(scheme, None)  # type: ignore[attr-defined]
    if address is None:
        return {}
    _addresses.append(address)
    return {_SENTINEL: len(_addresses) - 1, "master_name": address.master_name}
