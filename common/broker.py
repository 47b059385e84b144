"""A broker's URL in, a Redis client or a Celery app out, with every timeout set."""

from __future__ import annotations

import os
import re
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import redis
from celery import Celery
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from common.errors import BrokerError, UsageError

#: Everything in Redis, Celery's keys included, begins with this.
PREFIX = "manyeyes:"
#: Seconds. Longer than the longest blocking command; a dead peer is noticed after this.
SOCKET_TIMEOUT_S = 15.0
CONNECT_TIMEOUT_S = 5.0
#: Seconds. Celery's redelivery of unacknowledged tasks; our reconciler is done long before.
VISIBILITY_TIMEOUT_S = 3600


def check_url(url: str) -> None:
    """Raises UsageError for a URL that names no Redis. Connects to nothing."""
    client(url).close()


def connect(url: str) -> redis.Redis:
    """A client for `redis://`, `rediss://`, `unix://` or Celery's `redis+socket://`.

    Raises UsageError for another scheme, BrokerError when the server does not answer.
    """
    found = client(url)
    try:
        found.ping()
    except redis.RedisError as error:
        if isinstance(error, redis.AuthenticationError) or "HELLO" in str(error):
            text = "wants another user or password, or one at all; of a hub `producer url` prints the whole URL"
            raise BrokerError(f"broker {redact(url)} {text}") from None
        text = str(error).rstrip(".")
        raise BrokerError(f"broker {redact(url)} does not answer: {text}; is it running, and the URL right?") from None
    return found


def client(url: str) -> redis.Redis:
    """The same, but nothing connects yet: the first command does."""
    timeouts: dict[str, Any] = {
        "socket_timeout": SOCKET_TIMEOUT_S,
        "retry": Retry(ExponentialBackoff(cap=1.0, base=0.05), 3),
        "health_check_interval": 30,
    }
    parts = urlsplit(url)
    if parts.scheme in ("unix", "redis+socket"):
        query = parse_qs(parts.query)
        db = int((query.get("virtual_host") or query.get("db") or ["0"])[0].strip("/") or 0)
        return _Client(
            unix_socket_path=unquote(parts.path),
            db=db,
            username=parts.username and unquote(parts.username),
            password=parts.password and unquote(parts.password),
            **timeouts,
        )
    if parts.scheme not in ("redis", "rediss"):
        raise UsageError(f"broker {redact(url)} is not a Redis URL; use redis://HOST:6379/0, rediss:// or unix:///PATH")
    try:
        return _Client.from_url(url, socket_connect_timeout=CONNECT_TIMEOUT_S, socket_keepalive=True, **timeouts)
    except ValueError:
        # Not the parser's own words: they quote pieces of the password.
        raise UsageError(
            f"broker {redact(url)} is not a valid URL; write # / : ? @ % in a password as %23 %2F %3A %3F %40 %25"
        ) from None


def sibling(known: redis.Redis, port: int) -> redis.Redis:
    """A client for another server on the same host, with the same login and timeouts. Nothing connects yet."""
    return _like(known, port=port)


def unhurried(known: redis.Redis, seconds: float) -> redis.Redis:
    """A client of the same server for large values, each of which may take so long."""
    return _like(known, socket_timeout=seconds, retry=Retry(ExponentialBackoff(), 0))


class _Naming:
    """Where an ACL refuses something, Redis names the user, or what it was; this names both, and the remedy."""

    def parse_response(self, connection: Any, command_name: Any, **options: Any) -> Any:
        try:
            return super().parse_response(connection, command_name, **options)  # type: ignore[misc]
        except redis.exceptions.NoPermissionError as error:
            user = connection.username or "default"
            raise redis.exceptions.NoPermissionError(
                f"user {user} may not {command_name} ({error}); use the URL that belongs to this command: of a hub, "
                "`producer url producer|worker|monitor`; docs/acl.md has what each may"
            ) from None


class _Pipeline(_Naming, redis.client.Pipeline):
    pass


class _Client(_Naming, redis.Redis):
    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> redis.client.Pipeline:
        return _Pipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


def _like(known: redis.Redis, **changed: Any) -> redis.Redis:
    pool = known.connection_pool
    return _Client(connection_pool=type(pool)(pool.connection_class, **{**pool.connection_kwargs, **changed}))


def celery_app(url: str | None) -> Celery:
    """The Celery app that producers send through and workers serve. Nothing connects yet."""
    # Celery, and its command line with the last one, let these override whatever an app was built with; the URL was
    # decided at the edge, from the first of them too.
    for name in ("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL", "BROKER_URL"):
        os.environ.pop(name, None)
    app = Celery("manyeyes", broker=_kombu_url(url) if url else None, set_as_current=False)
    app.conf.update(
        # JSON only: nothing on the wire can be executed.
        accept_content=["json"],
        task_serializer="json",
        # Results go to our ledger; a Celery result would cost one pub/sub channel a task.
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=False,
        worker_prefetch_multiplier=1,
        # A lost connection must not kill the processes: theirs is another one, the first commit counts, and a twin
        # that is delivered meanwhile finds its attempt claimed.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        # The default, 4 s, kills every replacement child whose model loads slower, for ever.
        worker_proc_alive_timeout=120.0,
        worker_send_task_events=True,
        task_send_sent_event=True,
        task_track_started=True,
        broker_connection_retry_on_startup=True,
        # Flower holds two at a time in each of several threads; a smaller pool locks them up.
        broker_pool_limit=10,
        broker_transport_options={
            "global_keyprefix": PREFIX,
            # Who only sends, asks and watches takes nothing that must be acknowledged, and has no business among the
            # workers' unacknowledged messages; `worker.app` switches it on where it works.
            "ack_emulation": False,
            "visibility_timeout": VISIBILITY_TIMEOUT_S,
            "socket_timeout": SOCKET_TIMEOUT_S,
            "socket_connect_timeout": CONNECT_TIMEOUT_S,
            "socket_keepalive": True,
        },
        visibility_timeout=VISIBILITY_TIMEOUT_S,
    )
    return app


def _kombu_url(url: str) -> str:
    """kombu knows unix sockets as `redis+socket://` only."""
    parts = urlsplit(url)
    if parts.scheme != "unix":
        return url
    db = (parse_qs(parts.query).get("db") or ["0"])[0]
    login = f"{parts.netloc}" if parts.netloc else ""
    return f"redis+socket://{login}{parts.path}?virtual_host={db}"


def redact(url: str) -> str:
    """The URL without name and password, for people; also one that no parser takes."""
    shown = re.sub(r"//.*@", "//***@", url)
    return re.sub(r"((?:password|username)=)[^&]*", r"\1***", shown)
