"""A `sentinel://` URL in; the Sentinels that it names, and connections to the master that these name, out.

They are asked at each new connection, so a lost connection leads to the master that there is by then.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, NoReturn
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import redis
from redis import sentinel
from redis.backoff import NoBackoff
from redis.retry import Retry

from common.errors import UsageError
from common.redaction import redact_broker

SCHEME = "sentinel"
_PORT = 26379
_MASTER = "mymaster"
#: Seconds for one Sentinel's answer: another is asked then.
_ANSWER_S = 1.0
_OPTIONS = ("master_name", "sentinel_username", "sentinel_password")
_INVALID = (
    "is not a valid URL; write sentinel://USER:PASSWORD@HOST:26379,HOST:26379/0?master_name=mymaster, "
    "and , ; # / : ? @ % in a password as %2C %3B %23 %2F %3A %3F %40 %25"
)

#: Host and port.
Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Address:
    """What a URL says. `username` and `password` are for the master, `login` is for the Sentinels themselves."""

    places: tuple[Place, ...]
    master_name: str = _MASTER
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    login: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def kombu_url(self) -> str:
        """With the first Sentinel only: kombu shows those after it, passwords included, to whoever asks a worker."""
        return self._url(SCHEME, self.places[0])

    def server_url(self, client: redis.Redis) -> str:
        """Of the master that this client has found."""
        pool: Any = client.connection_pool
        return self._url("redis", pool.master_address or pool.get_master_address())

    def _url(self, scheme: str, place: Place) -> str:
        login = f"{quote(self.username or '', '')}:{quote(self.password or '', '')}@" if self.password else ""
        return f"{scheme}://{login}{shown(place)}/{self.db}"

    def pool(self, **connection: Any) -> sentinel.SentinelConnectionPool:
        """Connections to the master, with redis-py's options for each: a `credential_provider` goes before the URL."""
        login = {} if connection.get("credential_provider") else {"username": self.username, "password": self.password}
        return _pool(Sentinels(self), {"db": self.db, **login, **connection})


def is_sentinel(url: str) -> bool:
    return url.lower().startswith(f"{SCHEME}://")


def parse(url: str) -> Address:
    """Sentinels after commas, or each as a URL after a semicolon, as Celery has it. Raises UsageError.

    What is said once holds for all: the login, the database, the options.
    """
    head, _, query = url.partition("?")
    # Those would have begun a password, or another URL, in the middle of the options.
    if "@" in query or ";" in query or "#" in url:
        _refuse(url, _INVALID)
    places: list[Place] = []
    logins: set[tuple[str | None, str | None]] = set()
    dbs: set[int] = set()
    for one in re.split(f";(?:{SCHEME}://)?", head[len(f"{SCHEME}://") :], flags=re.IGNORECASE):
        try:
            parts = urlsplit(f"//{one}")
            given, _, hosts = parts.netloc.rpartition("@")
            places += [_place(host) for host in hosts.split(",")]
            if given:
                user, _, word = given.partition(":")
                logins.add((_unescaped(user), _unescaped(word)))
            if db := parts.path.strip("/"):
                dbs.add(int(db))
        except ValueError:
            _refuse(url, _INVALID)
    if len(logins) > 1:
        _refuse(url, "has several logins; give the master's, once")
    if len(dbs) > 1:
        _refuse(url, "has several databases; give one")
    options = _options(url, query)
    username, password = logins.pop() if logins else (None, None)
    return Address(
        tuple(places),
        options.get("master_name", _MASTER),
        dbs.pop() if dbs else 0,
        username,
        password,
        {name.removeprefix("sentinel_"): value for name, value in options.items() if name.startswith("sentinel_")},
    )


def _unescaped(text: str) -> str | None:
    if any(one in text for one in ",/@"):
        raise ValueError
    return unquote(text) or None


def _place(host: str) -> Place:
    """Raises ValueError."""
    parts = urlsplit(f"//{host}")
    if not parts.hostname or parts.path or parts.username is not None:
        raise ValueError
    return parts.hostname, parts.port or _PORT


def _options(url: str, query: str) -> dict[str, str]:
    found = dict(parse_qsl(query))
    for name in found:
        if name.startswith("ssl_"):
            _refuse(
                url,
                f"asks for TLS ({name}), which is not supported with Sentinel; use rediss:// with an address that "
                "follows the master (docs/failover.md)",
            )
        if name not in _OPTIONS:
            _refuse(url, f"has an option {name!r} that is not known; there are {', '.join(_OPTIONS)}")
    return found


def _refuse(url: str, why: str) -> NoReturn:
    # Without the options: what is amiss may be a piece of a password in them.
    raise UsageError(f"broker {redact_broker(url).partition('?')[0]} {why}")


def shown(place: Place) -> str:
    host, port = place
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Sentinels(sentinel.Sentinel):
    """redis-py's, with words for why no master is named; a sibling is another server on the master's host."""

    def __init__(self, address: Address, sibling: int | None = None) -> None:
        super().__init__(  # type: ignore[no-untyped-call]
            address.places,
            sentinel_kwargs={
                **address.login,
                "socket_timeout": _ANSWER_S,
                "socket_connect_timeout": _ANSWER_S,
                "retry": Retry(NoBackoff(), 0),
            },
        )
        self.address = address
        self._sibling = sibling

    def discover_master(self, service_name: str) -> Place:
        """Raises MasterNotFoundError, a ConnectionError: during a failover there is none for a while."""
        whys = []
        for one in tuple(self.sentinels):
            found = self._ask(one)
            if not isinstance(found, str):
                # The next time it is asked first. A new list: one that is being sorted is empty for other threads.
                self.sentinels = sorted(self.sentinels, key=lambda other: other is not one)
                return found[0], self._sibling or found[1]
            whys.append(f"{_where(one)} {found}")
        raise sentinel.MasterNotFoundError(f"no Sentinel names a master {service_name!r} now: {'; '.join(whys)}")

    def views(self) -> list[tuple[str, Place | str]]:
        """Each Sentinel, and the master that it names, or why it names none."""
        return [(_where(one), self._ask(one)) for one in self.sentinels]

    def _ask(self, one: redis.Redis) -> Place | str:
        name = self.address.master_name
        try:
            masters: Any = one.sentinel_masters()
        except (redis.AuthenticationError, redis.exceptions.NoPermissionError):
            return "wants another login: sentinel_username and sentinel_password in the URL's options"
        except redis.ResponseError as error:
            return "is no Sentinel" if "unknown command" in str(error) else str(error)
        except redis.RedisError as error:
            return f"does not answer ({str(error).rstrip('.')})"
        if name not in masters:
            return f"knows {', '.join(map(repr, sorted(masters))) or 'none'}"
        if not self.check_master_state(masters[name], name):  # type: ignore[no-untyped-call]
            return "has lost it, and will promote a replica"
        return str(masters[name]["ip"]), int(masters[name]["port"])


def _where(one: redis.Redis) -> str:
    known = one.connection_pool.connection_kwargs
    return shown((known["host"], known["port"]))


class Connection(sentinel.SentinelManagedConnection):
    """redis-py's asks at its first attempt only, and goes on to where it has been, be that a replica or hung by now.

    And then it asks all Sentinels four times over, with pauses; here, who connects tries again itself.
    """

    def connect(self) -> None:
        self.connect_check_health()

    def connect_check_health(self, check_health: bool = True, retry_socket_connect: bool = False) -> None:
        if self._sock:
            return
        self.host, self.port = self.connection_pool.get_master_address()
        super().connect_check_health(check_health, retry_socket_connect=False)


def _pool(sentinels: Sentinels, connection: dict[str, Any]) -> sentinel.SentinelConnectionPool:
    return sentinel.SentinelConnectionPool(  # type: ignore[no-untyped-call]
        sentinels.address.master_name, sentinels, **{"connection_class": Connection, **connection}
    )


def like(known: sentinel.SentinelConnectionPool, changed: dict[str, Any]) -> sentinel.SentinelConnectionPool:
    """Another pool with other options; with `port`, of another server on the master's host."""
    options = {"connection_class": known.connection_class, **known.connection_kwargs, **changed}
    del options["connection_pool"]
    manager = known.sentinel_manager
    if port := options.pop("port", None):
        manager = Sentinels(manager.address, port)
    return _pool(manager, options)
