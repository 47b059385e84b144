"""The bytes of open items in, on a machine that sees their files; the same bytes out where nobody does: through Redis.

Cargo is a copy that can be lost at any time: what is missing is loaded again. So its server needs no file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, cast

import redis

from common.broker.connect import PREFIX, sibling, unhurried
from common.errors import ItemCode, ItemError, ManyeyesError, ProtocolError
from common.limits import CARGO_LIFE_S, CARGO_LOAD_S, MAX_ERROR_CHARS

#: On a hub's broker: the port, on the same host and with the same password, of a server without a file.
PORT_KEY = f"{PREFIX}cargo-port"
#: What a run says of where its cargo is: nowhere, for workers read the files; on the broker; else a port.
NOWHERE, ON_BROKER = "", "broker"


class NotLoaded(ManyeyesError):
    """An item's bytes are not in the cargo: a server was restarted, or nobody has loaded them yet."""


class CutOff(NotLoaded):
    """The server with the bytes cannot be reached from here."""


class Cargo:
    """One run's. Fields are item numbers, so that a split or a resent shard finds its own."""

    def __init__(self, client: redis.Redis, run: str) -> None:
        self._client = client
        self._loader: redis.Redis | None = None
        self._key = f"{PREFIX}cargo:{run}"

    def load(self, items: Mapping[int, bytes | ItemError]) -> None:
        """Bytes as they are; in place of what could not be read, why. Over a slow network it may take minutes."""
        fields: dict[bytes, bytes] = {}
        for item, found in items.items():
            if isinstance(found, ItemError):
                fields[b"e%d" % item] = json.dumps([found.code, str(found)]).encode()
            else:
                fields[b"%d" % item] = found
        self._loader = self._loader or unhurried(self._client, CARGO_LOAD_S)
        pipe = self._loader.pipeline(transaction=False)
        pipe.hset(self._key, mapping=cast("Any", fields))
        pipe.expire(self._key, CARGO_LIFE_S)
        pipe.execute()

    def fetch(self, item: int) -> bytes:
        """Raises NotLoaded; and the ItemError with which it was loaded."""
        data = cast("bytes | None", self._client.hget(self._key, str(item)))
        if data is not None:
            return data
        error = cast("bytes | None", self._client.hget(self._key, f"e{item}"))
        if error is None:
            raise NotLoaded(f"item {item} is not in the cargo")
        try:
            code, text = json.loads(error)
            why = ItemError(ItemCode(code), str(text)[:MAX_ERROR_CHARS])
        except (ValueError, TypeError, RecursionError):
            raise NotLoaded(f"item {item} is not in the cargo, but something that nobody loaded") from None
        raise why

    def unload(self, items: Iterable[int]) -> None:
        """At least one."""
        fields = [name for item in items for name in (str(item), f"e{item}")]
        self._client.hdel(self._key, *fields)

    def keep(self) -> None:
        """Cargo that nobody keeps is gone after a while: its owner has died."""
        self._client.expire(self._key, CARGO_LIFE_S)

    def clear(self) -> None:
        self._client.unlink(self._key)


def server_of(broker: redis.Redis, where: str) -> redis.Redis:
    """The server that a run's word means. Raises ProtocolError."""
    if where == ON_BROKER:
        return broker
    if not re.fullmatch("[0-9]{1,5}", where) or not 0 < int(where) < 1 << 16:
        raise ProtocolError(f"cargo {where!r} is no port; run the same manyeyes version everywhere")
    return sibling(broker, int(where))
