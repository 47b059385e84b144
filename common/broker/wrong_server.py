"""What a server says of itself, or an error of its, in; why it can never be a broker, and what to name instead, out.

The sentences follow the broker's name. Nothing of redis-py is imported: whoever prints an error imports this.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from common.broker.error_text import cause, reason

#: Without HELLO's bare form and ZRANGE BYSCORE, nobody is greeted, and owners cannot tell of their runs. All else that
#: runs and scripts need is older; only the users of `producer acl` need selectors, Redis 7.
_OLDEST = (6, 2)
_WANTED = "use Redis 7 or Valkey, or newer"
_CLUSTER = "is a Redis Cluster, where keys lie on several servers: use a single server"
_SENTINEL = "is a Sentinel, which keeps nothing itself: write sentinel:// instead of redis://"
_CLUSTER_ERRORS = frozenset({"MovedError", "AskError", "ClusterCrossSlotError"})
_CLUSTER_WORDS = ("not allowed in cluster mode", "do not hash to the same slot")
_NO_DATABASE = ("DB index is out of range", "invalid DB index")
_UNKNOWN = re.compile(r"unknown command [`'\"]?([\w.|-]+)", re.IGNORECASE)
#: What redis-py says of an answer in no form that it knows.
_PROTOCOL = re.compile(r"Protocol Error: b?['\"]?(.*?)['\"]?$", re.DOTALL)
#: Of an answer, as many characters as show what it is.
_SHOWN = 40
#: Seconds for a look at who answers there.
_LOOK_S = 2.0
_DEFAULT_PORT = 6379


def of_facts(facts: Mapping[Any, Any]) -> str | None:
    """What is wrong with a server by its answer to HELLO, which every login may ask, or to INFO; else None."""
    told = {_text(name): _text(value) for name, value in facts.items()}
    mode = told.get("mode") or told.get("server_mode") or told.get("redis_mode")
    if mode == "cluster" or told.get("cluster_enabled") == "1":
        return _CLUSTER
    if mode == "sentinel":
        return _SENTINEL
    version = told.get("valkey_version") or told.get("redis_version") or told.get("version") or ""
    numbers = tuple(map(int, re.findall(r"\d{1,6}", version)[:2]))
    if numbers and numbers < _OLDEST:
        return _too_old(".".join(map(str, numbers)))
    return None


def sentence(error: BaseException) -> str | None:
    """What an error shows to be wrong for good; None where waiting, or another login, may help."""
    kinds, text = {kind.__name__ for kind in type(cause(error)).__mro__}, reason(error)
    if kinds & _CLUSTER_ERRORS or any(words in text for words in _CLUSTER_WORDS):
        return _CLUSTER
    if any(words in text for words in _NO_DATABASE):
        return "has no database of the number at the URL's end: 0 is always there, redis://HOST:6379/0"
    if "wrong number of arguments for 'hello'" in text:
        return _too_old("6.0")
    if found := _UNKNOWN.search(text):
        return f"does not know the command {found[1]}: too old a Redis, a proxy or another server; {_WANTED}, itself"
    if "InvalidResponse" in kinds and (found := _PROTOCOL.search(text)):
        return _no_redis(found[1])  # redis-py has escaped it
    return None


def explain(url: str, error: BaseException) -> str | None:
    """The same; of a server that hangs up, after a look at how it answers."""
    parts = urlsplit(url)
    if (words := sentence(error)) or parts.scheme != "redis" or not parts.hostname:
        return words
    # It has listened, and refused to go on; what is merely gone says otherwise.
    if not any(sign in str(error) for sign in ("closed by server", "reset by peer")):
        return None
    try:
        with socket.create_connection((parts.hostname, parts.port or _DEFAULT_PORT), _LOOK_S) as connection:
            connection.sendall(b"PING\r\n")
            answer = connection.recv(1 << 10)
    except OSError:
        return None
    first = answer.splitlines()[0] if answer.strip() else b""
    return _no_redis(repr(first)[2:-1]) if first and first[:1] not in b"+-" else None


def _too_old(version: str) -> str:
    return f"is Redis {version}, which is too old: {_WANTED}"


def _no_redis(escaped: str) -> str:
    return f"is no Redis: it answers '{escaped[:_SHOWN]}'; name the host and port of one"


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
