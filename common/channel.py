"""kombu's channel to Redis, by clients to whom "not now" is a lost connection: Celery reconnects, and ends nothing."""

from __future__ import annotations

import functools
from typing import Any, ClassVar

from kombu import transport
from kombu.transport import redis as kombu_redis
from kombu.transport import virtual

from common.replies import PatientPipeline, patient

#: Of the transport's options: a redis.CredentialProvider, where user and password may change.
LOGIN = "login"


class _Pipeline(PatientPipeline, kombu_redis.PrefixedRedisPipeline):
    pass


class _Client(kombu_redis.PrefixedStrictRedis):
    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Any:
        return _Pipeline(
            *(self.connection_pool, self.response_callbacks, transaction, shard_hint),
            global_keyprefix=self.global_keyprefix,
        )


class QoS(kombu_redis.QoS):
    """What a worker has taken and not acknowledged yet.

    An acknowledgement that fails keeps no place taken: Celery only logs it, and would take one message fewer from then
    on. It is sent again with the next one, be it by the next connection.
    """

    #: One worker's, of one broker.
    _owed: ClassVar[list[str]] = []

    def ack(self, delivery_tag: str) -> None:
        this: Any = self
        self._owed.append(delivery_tag)
        try:
            while self._owed:
                this._remove_from_indices(self._owed[0]).execute()
                self._owed.pop(0)
        except Transport.connection_errors:
            pass  # the connection's other user, who asks for messages, meets the same, and connects anew
        virtual.QoS.ack(self, delivery_tag)


class Channel(kombu_redis.Channel):
    QoS = QoS

    def _get_client(self) -> Any:
        super()._get_client()  # type: ignore[misc]  # it checks redis-py's version
        return functools.partial(_Client, global_keyprefix=self.global_keyprefix)

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        found: dict[str, Any] = super()._connparams(asynchronous)  # type: ignore[misc]
        this: Any = self
        this._process_credential_provider(this.connection.client.transport_options.get(LOGIN), found)
        return {**found, "connection_class": patient(found["connection_class"])}


class Transport(kombu_redis.Transport):
    """kombu's, for the whole process: see `register`."""

    Channel = Channel


def register() -> None:
    """From now on, in this process: a broker's URL means this transport."""
    for scheme in ("redis", "rediss"):
        transport.TRANSPORT_ALIASES[scheme] = "common.channel:Transport"
        transport._transport_cache.pop(scheme, None)  # type: ignore[attr-defined]
