"""kombu's channel to Redis, by clients to whom "not now" is a lost connection: Celery reconnects, and ends nothing."""

from __future__ import annotations

import functools
import logging
from typing import Any, ClassVar, NamedTuple

import redis
from kombu import transport
from kombu.transport import redis as kombu_redis
from kombu.transport import virtual

from common.broker import sentinel
from common.broker.error_text import reason
from common.broker.replies import PatientPipeline, patient

log = logging.getLogger("manyeyes")


class Way(NamedTuple):
    """How a broker is reached, where its URL alone does not say it."""

    #: Sentinels that name the server.
    address: sentinel.Address | None = None
    #: User and password, where they may change.
    login: redis.CredentialProvider | None = None


#: Kombu shows a transport's options to whoever asks a worker for its figures: they say which of these, and no password.
_ways: list[Way] = []
_WAY = "way"


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
    on. It is sent again with the next one, be it by the next connection; not where the server will never do it.
    """

    #: One worker's, of one broker.
    _owed: ClassVar[list[str]] = []

    def ack(self, delivery_tag: str) -> None:
        this: Any = self
        self._owed.append(delivery_tag)
        try:
            while self._owed:
                try:
                    this._remove_from_indices(self._owed[0]).execute()
                except redis.ResponseError as error:
                    log.error("a message cannot be acknowledged, and may come once more: %s", reason(error))
                self._owed.pop(0)
        except Transport.connection_errors:
            pass  # the connection's other user, who asks for messages, meets the same, and connects anew
        finally:
            virtual.QoS.ack(self, delivery_tag)


class Channel(kombu_redis.Channel):
    QoS = QoS

    def _get_client(self) -> Any:
        super()._get_client()  # type: ignore[misc]  # it checks redis-py's version
        return functools.partial(_Client, global_keyprefix=self.global_keyprefix)

    @property
    def _way(self) -> Way:
        this: Any = self
        options: dict[str, Any] = this.connection.client.transport_options
        return _ways[options[_WAY]] if _WAY in options else Way()

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        found: dict[str, Any] = super()._connparams(asynchronous)  # type: ignore[misc]
        self._process_credential_provider(self._way.login, found)  # type: ignore[attr-defined]
        return {**found, "connection_class": patient(found["connection_class"])}

    def _get_pool(self, asynchronous: bool = False) -> Any:
        address = self._way.address
        if address is None:
            return super()._get_pool(asynchronous)  # type: ignore[misc]
        # Before kombu derives its own class from it.
        self.connection_class = sentinel.Connection
        params = self._connparams(asynchronous)
        self.keyprefix_fanout = self.keyprefix_fanout.format(db=params["db"])
        del params["host"], params["port"]
        return address.pool(**params)


class Transport(kombu_redis.Transport):
    """kombu's, for the whole process: see `register`."""

    Channel = Channel


def register(address: sentinel.Address | None, login: redis.CredentialProvider | None) -> dict[str, Any]:
    """From now on, in this process: a broker's URL means this transport.

    What comes back belongs into the transport's options: which way is meant, and the name that Flower wants.
    """
    for scheme in ("redis", "rediss", sentinel.SCHEME):
        transport.TRANSPORT_ALIASES[scheme] = "common.broker.transport:Transport"
        transport._transport_cache.pop(scheme, None)  # type: ignore[attr-defined]
    _ways.append(Way(address, login))
    named = {} if address is None else {"master_name": address.master_name}
    return {_WAY: len(_ways) - 1, **named}
