"""What the user said and what workers see in; the way that images take to the workers, out."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

import redis
from kombu.exceptions import OperationalError

from common.datasets import display_path, is_url, pack_path
from common.errors import ProtocolError, UsageError
from common.limits import SHIP_WINDOW_BYTES, SIGHT_S
from common.protocol import file_probe, heartbeats
from common.protocol.file_probe import SIGHT_COMMAND, Sight
from common.protocol.relay import ON_BROKER, PORT_KEY
from producer.scheduler.live_processes import Connection

log = logging.getLogger(__name__)

#: Items that workers are asked about.
ASKED = 3


class Way(StrEnum):
    """How images reach workers."""

    #: As workers say what they see.
    AUTO = "auto"
    #: Workers read the files: a shared disk, or one machine.
    PATH = "path"
    #: The owner reads the files; their bytes go through Redis.
    REDIS = "redis"
    #: Workers read what the dataset's URL names.
    URL = "url"


@dataclass(frozen=True, slots=True)
class Transport:
    """What the user said of it."""

    way: Way = Way.AUTO
    #: Bytes of images that may be in Redis.
    window: int = SHIP_WINDOW_BYTES

    @classmethod
    def parse(cls, way: str, window_mb: int) -> Transport:
        """Raises UsageError."""
        try:
            return cls(Way(way), window_mb << 20)
        except ValueError:
            raise UsageError(f"--transport {way} is not known; give one of {', '.join(Way)}") from None

    def changed(self, way: str | None, window_mb: int | None) -> Transport:
        """As `resume` has it: what is not given stays. Raises UsageError."""
        return Transport.parse(way or self.way, window_mb if window_mb is not None else self.window >> 20)

    def check(self, root: bytes) -> None:
        """Raises UsageError where the dataset does not lie where this way could begin."""
        if self.way is Way.URL and not is_url(root):
            raise UsageError("--transport url is for datasets that are URLs; leave it out, and workers are asked")
        if self.way is Way.PATH and is_url(root):
            raise UsageError("--transport path is for files; workers read a URL themselves: leave it out")

    def to_json(self) -> dict[str, Any]:
        return {"way": self.way, "window": self.window}

    @classmethod
    def of(cls, data: dict[str, Any]) -> Transport:
        """What `run.json` says; those of older runs say nothing."""
        said = data.get("transport")
        return cls(Way(said["way"]), said["window"]) if said else cls()


@dataclass(frozen=True, slots=True)
class Chosen:
    """The way that is taken, and why, for the user, who did not say so."""

    way: Way
    why: str = ""


def cargo_place(client: redis.Redis) -> str:
    """Where bytes go: to a hub's server without a file; else to the broker."""
    port = cast("bytes | None", client.get(PORT_KEY))
    return port.decode() if port else ON_BROKER


def choose(
    transport: Transport, connection: Connection, queue: str, root: bytes, first: Callable[[], Sequence[bytes]]
) -> Chosen:
    """`first` lists the dataset's first items, where workers are to be asked about them.

    Raises UsageError where a worker cannot be reached in the way that is left.
    """
    if is_url(root) and transport.way is not Way.REDIS:
        return Chosen(Way.URL)
    if transport.way is Way.PATH:
        return Chosen(Way.PATH)
    # Who ships by order asks for the way to the cargo only.
    items = () if transport.way is Way.REDIS else first()
    here = file_probe.look((root, item) for item in items)
    place = cargo_place(connection.client)
    answers = _ask(connection, queue, root, items, place)
    blind = sorted(worker for worker, answer in answers.items() if answer.seen != here)
    if transport.way is Way.AUTO and not blind:
        # Nobody there, or nobody who says a word: should one be blind after all, its first result shows it.
        return Chosen(Way.PATH)
    cut_off = sorted(worker for worker, answer in answers.items() if not answer.cargo)
    if cut_off:
        raise UsageError(
            f"worker {cut_off[0]} does not reach port {place} of the broker's host, through which images' bytes go; "
            "open that port there, or stop that worker; then `producer resume`"
        )
    who = f"{', '.join(blind[:3])}{' and others' if len(blind) > 3 else ''}"
    if any(answers[worker].forbidden for worker in blind):
        way_out = f"to let it:  worker start --root {display_path(root)}, or producer up --root there"
        return Chosen(Way.REDIS, f"{who} may not read the images: they go through Redis; {way_out}")
    return Chosen(Way.REDIS, f"{who} cannot read the images: they go through Redis (--transport redis)")


def _ask(connection: Connection, queue: str, root: bytes, items: Sequence[bytes], place: str) -> dict[str, Sight]:
    live = heartbeats.live_workers(connection.client)
    return ask(connection, [beat.worker for beat in live if queue in beat.queues], root, items, place)


def ask(
    connection: Connection, workers: list[str], root: bytes, items: Sequence[bytes], place: str
) -> dict[str, Sight]:
    """What each sees of the items, and whether it reaches the place of cargo; of those who answer in time."""
    if not workers:
        return {}
    try:
        replies = connection.app.control.broadcast(
            SIGHT_COMMAND,
            destination=workers,
            arguments={"root": pack_path(root), "paths": [pack_path(item) for item in items], "cargo": place},
            reply=True,
            timeout=SIGHT_S,
            limit=len(workers),
        )
    except (OperationalError, redis.RedisError):
        raise
    except Exception as error:
        # kombu takes an answer apart before anybody has looked at it.
        log.warning("an answer that no worker gave stood among theirs: %s", error)
        return {}
    found = {}
    for worker, answer in (pair for reply in replies or () if isinstance(reply, dict) for pair in reply.items()):
        # Else it says what went wrong there; or it is none of ours.
        if worker in workers:
            with contextlib.suppress(ProtocolError):
                found[worker] = Sight.from_json(answer)
    return found
