"""A broker's URL in, a Redis client or a Celery app out, with every timeout set."""

from __future__ import annotations

import contextlib
import logging
import os
from typing import Any, cast
from urllib.parse import parse_qs, parse_qsl, unquote, urlencode, urlsplit, urlunsplit

import redis
from celery import Celery
from kombu import compression
from kombu.exceptions import DecodeError
from redis.backoff import ExponentialBackoff
from redis.retry import Retry
from redis.sentinel import SentinelConnectionPool

from common.broker import sentinel, silence, tls_errors, transport, wrong_server
from common.broker.error_text import Unannotated, reason
from common.broker.replies import PatientPipeline, patient
from common.broker.tls import is_unverified
from common.broker.tls import options as tls_options
from common.broker.url_file import invalid, login_of, url_of, without_login
from common.errors import BrokerAway, BrokerError, UsageError
from common.redaction import redact

log = logging.getLogger("manyeyes")

#: Everything in Redis, Celery's keys included, begins with this.
PREFIX = "manyeyes:"
#: Seconds. Longer than the longest blocking command; a dead peer is noticed after this.
SOCKET_TIMEOUT_S = 15.0
CONNECT_TIMEOUT_S = 5.0
#: Seconds for one step of a question that somebody waits for: to connect, to answer.
STEP_S = 3.0
#: Seconds. Celery's redelivery of unacknowledged tasks; our reconciler is done long before.
VISIBILITY_TIMEOUT_S = 3600


def check_url(broker: str) -> None:
    """Raises UsageError for a URL, or a file with one, that names no Redis. Connects to nothing."""
    client(broker).close()


def connect(broker: str, step_s: float = STEP_S) -> redis.Redis:
    """A client for `redis://`, `rediss://`, `unix://`, `sentinel://` or Celery's `redis+socket://`, or a file with one.

    It is asked once, and may be silent for `step_s` seconds; the client that is returned is patient.
    Raises UsageError for another scheme, and for a server that can never be a broker, BrokerError when it does not
    answer.
    """
    found, url = client(broker), url_of(broker)
    try:
        with impatient(found, step_s) as asked:
            asked.ping()
            wrong = wrong_server.of_facts(cast(Any, asked).execute_command("HELLO"))
    except redis.RedisError as error:
        if (wrong := wrong_server.explain(url, error)) is None:
            raise trouble(url, error) from None
    if wrong:
        # Nothing to wait for: it is another kind of server.
        raise UsageError(f"broker {redact(url)} {wrong}")
    if _is_tls(url) and is_unverified(url):
        log.warning("broker %s is not verified (ssl_cert_reqs=none): whoever is on the way can pose as it", redact(url))
    return found


def refuse_wrong(broker: str) -> None:
    """Raises UsageError for what can never be a broker. One that is away may come."""
    with contextlib.suppress(BrokerError):
        connect(broker).close()


def trouble(broker: str, error: redis.RedisError) -> BrokerError:
    """What is told of a broker that fails so: BrokerAway where waiting may help. Looks at what listens there."""
    url = url_of(broker)
    found = _trouble(url, error)
    found.url = url
    return found


def _trouble(url: str, error: redis.RedisError) -> BrokerError:
    shown = f"broker {redact(url)}"
    if isinstance(error, redis.AuthenticationError) or "HELLO" in str(error):
        which = "of a hub `producer url [producer|worker|monitor]` prints the whole URL"
        return BrokerError(f"{shown} wants another user or password, or one at all; {which}")
    # What speaks no TLS may hear a handshake out for ever.
    may_hang = isinstance(error, redis.TimeoutError) and _is_tls(url)
    if not may_hang and (away := silence.away(url, error)):
        return away
    if words := tls_errors.explain(url, error):
        return BrokerError(f"{shown} {words}")
    if away := silence.away(url, error):
        return away
    why = redact(reason(error))
    if isinstance(error, redis.ConnectionError):
        return BrokerAway(f"{shown} does not answer: {why}; is it running, and the URL right?", mistakable=True)
    if why.startswith("DENIED"):
        # Its own words are a page.
        return BrokerError(f"{shown} is in protected mode (DENIED): set a password there, and write it into the URL")
    return BrokerError(f"{shown} refuses: {why}; see its configuration and log")


def _is_tls(url: str) -> bool:
    return urlsplit(url).scheme == "rediss"


class _Again(Retry):
    """Not what has timed out: whoever waits says so by then, and asks again. Nor a login that was refused, which to
    redis-py is a lost connection: servers count those.
    """

    def call_with_retry(self, do: Any, fail: Any, is_retryable: Any = None, with_failure_count: bool = False) -> Any:
        def passes(error: Exception) -> bool:
            if not isinstance(error, (redis.AuthenticationError, redis.TimeoutError, TimeoutError)):
                return is_retryable is None or bool(is_retryable(error))
            # That connection is of no use any more: the next command would read this one's answer.
            fail(*(error, 1) if with_failure_count else (error,))
            return False

        return super().call_with_retry(do, fail, passes, with_failure_count)


def _once() -> Retry:
    return Retry(ExponentialBackoff(), 0)


def client(broker: str) -> redis.Redis:
    """The same, but nothing connects yet: the first command does."""
    url, login = url_of(broker), login_of(broker)
    settings: dict[str, Any] = {
        "credential_provider": login,
        "socket_timeout": SOCKET_TIMEOUT_S,
        "retry": _Again(ExponentialBackoff(cap=1.0, base=0.05), 3),
        "health_check_interval": 30,
    }
    if sentinel.is_sentinel(url):
        address = sentinel.parse(url)
        return _owning(address.pool(socket_connect_timeout=CONNECT_TIMEOUT_S, socket_keepalive=True, **settings))
    if login is not None:
        url = without_login(url)
    try:
        return _of(url, settings)
    except ValueError:
        raise invalid(url) from None


def _of(url: str, settings: dict[str, Any]) -> redis.Redis:
    """Raises ValueError where a number is none."""
    parts = urlsplit(url)
    if parts.scheme in ("unix", "redis+socket"):
        query = parse_qs(parts.query)
        db = int((query.get("virtual_host") or query.get("db") or ["0"])[0].strip("/") or 0)
        return _Client(
            unix_socket_path=unquote(parts.path),
            db=db,
            username=parts.username and unquote(parts.username),
            password=parts.password and unquote(parts.password),
            **settings,
        )
    if parts.scheme not in ("redis", "rediss"):
        raise UsageError(
            f"broker {redact(url)} is not a Redis URL; use redis://HOST:6379/0, rediss://, sentinel:// or unix:///PATH"
        )
    # Options of TLS go beside the URL: some have come from elsewhere, and been checked.
    return _Client.from_url(
        _without_tls(url),
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        socket_keepalive=True,
        **settings,
        **tls_options(url),
    )


def sibling(known: redis.Redis, port: int) -> redis.Redis:
    """A client for another server on the same host, with the same login and timeouts. Nothing connects yet."""
    return _like(known, port=port)


def impatient(known: redis.Redis, step_s: float = STEP_S) -> redis.Redis:
    """A client of the same server for who waits at a terminal: nothing is tried again, no step may take longer."""
    return _like(known, socket_connect_timeout=step_s, socket_timeout=step_s, retry=_once())


def unhurried(known: redis.Redis, seconds: float) -> redis.Redis:
    """A client of the same server for large values, each of which may take so long."""
    return _like(known, socket_timeout=seconds, retry=_once())


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


class _Pipeline(_Naming, PatientPipeline, Unannotated, redis.client.Pipeline):
    pass


class _Client(_Naming, redis.Redis):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.connection_pool.connection_class = patient(self.connection_pool.connection_class)

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> redis.client.Pipeline:
        return _Pipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


def _like(known: redis.Redis, **changed: Any) -> redis.Redis:
    pool = known.connection_pool
    if isinstance(pool, SentinelConnectionPool):
        return _owning(sentinel.like(pool, changed))
    return _owning(type(pool)(pool.connection_class, **{**pool.connection_kwargs, **changed}))


def _owning(pool: redis.ConnectionPool) -> redis.Redis:
    """With the client, its connections are closed."""
    found: redis.Redis = _Client.from_pool(pool)
    return found


def celery_app(broker: str | None) -> Celery:
    """The Celery app that producers send through and workers serve. Nothing connects yet."""
    if broker:
        check_url(broker)
    url, login = (url_of(broker), login_of(broker)) if broker else (None, None)
    # Celery, and its command line with the last one, let these override whatever an app was built with; the URL was
    # decided at the edge, from the first of them too.
    for name in ("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL", "BROKER_URL"):
        os.environ.pop(name, None)
    _unpack_nothing()
    address = sentinel.parse(url) if url and sentinel.is_sentinel(url) else None
    options = transport.register(address, login)
    kombu_url = address.kombu_url if address else url and _kombu_url(url)
    app = Celery("manyeyes", broker=kombu_url, set_as_current=False)
    app.conf.update(
        # Without it kombu would take any certificate.
        broker_use_ssl=(url and not address and tls_options(url)) or None,
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
            **options,
        },
        visibility_timeout=VISIBILITY_TIMEOUT_S,
    )
    return app


def _unpack_nothing() -> None:
    """A few bytes can be gigabytes, unpacked, and kombu would do that before it asks whether JSON is in them."""

    def refuse(_: bytes) -> bytes:
        raise DecodeError("compressed messages are not taken")

    for kind in compression.encoders():
        encoder: Any = compression.get_encoder(kind)
        compression.register(encoder[0], refuse, kind)


def _kombu_url(url: str) -> str:
    """kombu knows unix sockets as `redis+socket://` only."""
    parts = urlsplit(url)
    if parts.scheme != "unix":
        return _without_tls(url)
    db = (parse_qs(parts.query).get("db") or ["0"])[0]
    login = f"{parts.netloc}" if parts.netloc else ""
    return f"redis+socket://{login}{parts.path}?virtual_host={db}"


def _without_tls(url: str) -> str:
    parts = urlsplit(url)
    if not _is_tls(url):
        return url
    kept = [(name, value) for name, value in parse_qsl(parts.query) if not name.startswith("ssl_")]
    return urlunsplit(parts._replace(query=urlencode(kept)))
