"""An error reply of Redis in; what it means for who waits, out: not now, or as it was.

A server that is a replica during a failover, loads its data, is full or runs a long script does its work later.
To redis-py and kombu such a reply is a mistake of the caller's; here it is as good as a lost connection: the connection
is closed, a new one may lead to another server, and whatever waits out a broker that is away waits this out.
"""

from __future__ import annotations

import contextlib
import functools
import re
from typing import Any

import redis

from common.broker.error_text import cause, reason

#: The first words of replies by which a server says that it will do it later, and what they say to people.
NOT_NOW = {
    "READONLY": "it is a read-only replica for now, as during a failover",
    "UNBLOCKED": "it has just become a replica, as in a failover",
    "LOADING": "it is loading its data",
    "MASTERDOWN": "it is a replica that has lost its master",
    "NOREPLICAS": "it has too few replicas to write",
    "CLUSTERDOWN": "its cluster is down",
    "TRYAGAIN": "its cluster is moving keys",
    "BUSY": "it is busy with a script",
    "OOM": "its memory is full, as its maxmemory bounds it",
    "MISCONF": "it cannot write to its disk",
}
#: Where it stands inside another reply: of EXEC, and of a script by servers before Redis 7.
_WITHIN = re.compile(r"(?:because of: |-)([A-Z]+)\b")

#: How a handshake of TLS fails, in OpenSSL's words.
_TLS = ("CERTIFICATE_VERIFY_FAILED", "certificate", "ALERT_")


class NotNow(redis.ConnectionError):
    """The server answers, and will do its work later."""


def code_of(error: redis.RedisError) -> str:
    """The first word of the reply, as the server sent it; empty for what is no reply."""
    if not isinstance(error, redis.ResponseError):
        return ""
    said = getattr(error, "status_code", None) or str(error).partition(" ")[0]
    if said in ("EXECABORT", "ERR") and (within := _WITHIN.search(str(error))):
        return within[1]
    return str(said)


def read(error: redis.ResponseError) -> redis.RedisError:
    """NotNow for what will be done later, else the error itself."""
    code = code_of(error)
    if code not in NOT_NOW:
        return error
    return not_now(code)


class Patient:
    """Of a connection, before redis-py's class: its "not now" replies are lost connections, from its greeting on."""

    def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return super().read_response(*args, **options)  # type: ignore[misc]
        except redis.ResponseError as error:
            raise read(error) from None


class PatientPipeline:
    """Of a pipeline: so are those inside the reply of a transaction, whose commands have failed one by one."""

    def raise_first_error(self, commands: Any, response: Any) -> None:
        for answer in response:
            if isinstance(answer, redis.ResponseError) and (better := read(answer)) is not answer:
                raise better from None
        super().raise_first_error(commands, response)  # type: ignore[misc]


@functools.cache
def patient(connection_class: type[Any]) -> type[Any]:
    """The same class, patient."""
    if issubclass(connection_class, Patient):
        return connection_class
    return type(connection_class.__name__, (Patient, connection_class), {})


def passes(error: BaseException) -> bool:
    """Whether it can work later without anybody's changing what is asked: all else is wrong for ever."""
    # A server that was started again knows no scripts: they are sent with the next try.
    kinds = (redis.ConnectionError, redis.TimeoutError, redis.exceptions.NoScriptError, OSError)
    return isinstance(cause(error), kinds)


def wants_login(error: BaseException) -> bool:
    """Whether the server, or who stands before it, does not know us: a password or a certificate was changed."""
    found = cause(error)
    return isinstance(found, redis.AuthenticationError) or any(sign in str(found) for sign in _TLS)


def why_not(error: BaseException) -> str:
    """For people, of an error that is waited out."""
    if isinstance(cause(error), redis.TimeoutError):
        return f"it gives no answer, and may hang ({reason(error)})"
    if not wants_login(error):
        return reason(error)
    return (
        f"it wants another password or certificate ({reason(error)}); a file that holds the URL is read anew at each "
        "try: write the new one there; where the URL itself was given, start this again with the new one"
    )


def check_takes_writes(client: redis.Redis) -> None:
    """Raises NotNow for a server that is a replica for now, or full: nobody can say there that they live.

    For who would say otherwise that no worker is there. Of a login that may not ask, nothing is known.
    """
    with contextlib.suppress(redis.ResponseError):
        kind: Any = client.info("replication")
        memory: Any = client.info("memory")
        if kind["role"] == "slave":
            raise not_now("READONLY")
        if 0 < memory["maxmemory"] <= memory["used_memory"] and memory["maxmemory_policy"] == "noeviction":
            raise not_now("OOM")


def not_now(code: str) -> NotNow:
    """`code`: one of NOT_NOW."""
    return NotNow(f"{NOT_NOW[code]} ({code})")
