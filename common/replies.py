"""An error reply of Redis in; what it means for who waits, out: not now, or as it was.

A server that is a replica during a failover, loads its data, is full or runs a long script does its work later.
To redis-py and kombu such a reply is a mistake of the caller's; here it is as good as a lost connection: the connection
is closed, a new one may lead to another server, and whatever waits out a broker that is away waits this out.
"""

from __future__ import annotations

import re
from typing import Any

import redis

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
    "OOM": "its memory is full",
    "MISCONF": "it cannot write to its disk",
}
#: Where it stands inside another reply: of EXEC, and of a script by servers before Redis 7.
_WITHIN = re.compile(r"(?:because of: |-)([A-Z]+)\b")


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
    return NotNow(f"{NOT_NOW[code]} ({code})")


class Patient:
    """Of a client or pipeline, before redis-py's class: its "not now" replies are lost connections."""

    def parse_response(self, connection: Any, command_name: Any, **options: Any) -> Any:
        try:
            return super().parse_response(connection, command_name, **options)  # type: ignore[misc]
        except redis.ResponseError as error:
            raise read(error) from None

    def raise_first_error(self, commands: Any, response: Any) -> None:
        """Of a transaction whose commands have failed one by one."""
        for answer in response:
            if isinstance(answer, redis.ResponseError) and (better := read(answer)) is not answer:
                raise better from None
        super().raise_first_error(commands, response)  # type: ignore[misc]
