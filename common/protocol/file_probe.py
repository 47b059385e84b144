"""Files in; what this machine sees of them out: what a producer asks workers, before images take their way."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from common import typed_json
from common.datasets import fetch
from common.errors import ItemCode, ItemError

#: Celery's remote control carries the question, past whatever waits in the queues.
SIGHT_COMMAND = "sight"


@dataclass(frozen=True, slots=True)
class Sight:
    """One machine's answer."""

    #: SHA-256 of each file, in hexadecimal; None for one that cannot be read, `forbidden` for one that must not be.
    seen: tuple[str | None, ...]
    #: Whether it reaches the server through which bytes would come, if it was asked about one.
    cargo: bool = False

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def forbidden(self) -> bool:
        return ItemCode.FORBIDDEN in self.seen

    @classmethod
    def from_json(cls, data: Any) -> Sight:
        """Raises ProtocolError."""
        return typed_json.read(cls, data, spare=True)


def look(files: Iterable[tuple[bytes, bytes]], read: Callable[[bytes, bytes], bytes] = fetch) -> tuple[str | None, ...]:
    """Of files by root and path."""
    return tuple(_digest(read, root, path) for root, path in files)


def _digest(read: Callable[[bytes, bytes], bytes], root: bytes, path: bytes) -> str | None:
    try:
        return hashlib.sha256(read(root, path)).hexdigest()
    except ItemError as error:
        return error.code.value if error.code is ItemCode.FORBIDDEN else None
