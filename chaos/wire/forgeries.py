"""What an attacker with the broker's password writes: commands, runs that nobody submitted, heartbeats of nobody."""

from __future__ import annotations

import base64
import hashlib
import json
import pickle
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from chaos.wire.prey import Prey, opened
from common.broker.connect import PREFIX
from common.protocol.heartbeats import PROCESSES_KEY, WORKERS_KEY, process_key, worker_key
from common.protocol.ledger import run_key, shard_key
from common.protocol.messages import ShardId, ShardMessage
from common.protocol.rejections import Reason

#: Commands that change a worker, end it, or show more than they should.
CHANGING = (
    *("shutdown", "pool_grow", "pool_shrink", "pool_restart", "autoscale", "add_consumer", "cancel_consumer"),
    *("rate_limit", "time_limit", "revoke", "terminate", "revoke_by_stamped_headers", "disable_events", "election"),
    *("hello", "report", "objgraph", "memdump"),
)
#: Seconds for which a forged run stays.
_LIFE_S = 20
_RUBBISH: tuple[bytes, ...] = (
    b"",
    b"{",
    b"[]",
    b"null",
    b'{"worker": 1}',
    b"\xff\xfe",
    b"[" * 5000,
    b'"' + b"x" * 9999,
)


def command(dice: Random, prey: Prey) -> tuple[bytes, Reason | None]:
    """To all workers. Those that they obey, with arguments of no sense, are harmless."""
    envelope = opened(prey.command)
    body = json.loads(base64.b64decode(envelope["body"]))
    choice = dice.randrange(5)
    reason: Reason | None = Reason.CONTROL
    if choice == 0:
        body["method"], body["arguments"] = dice.choice(CHANGING), {"n": 9, "queue": "x", "signal": "KILL"}
    elif choice == 1:
        # Tried on a name, it would take years.
        body |= {"pattern": "(([a-z0-9@]+)+)+$!", "matcher": "pcre", "destination": None}
    elif choice == 2:
        body["reply_to"], reason = {"exchange": prey.queue, "routing_key": prey.queue}, Reason.MALFORMED
    elif choice == 3:
        envelope["content-type"], reason = "application/x-python-serialize", Reason.CONTENT_TYPE
        envelope["body"] = base64.b64encode(pickle.dumps(body)).decode()
        return json.dumps(envelope).encode(), reason
    else:
        paths = [dice.choice((prey.canary, "../" * 9 + prey.canary, "\0", "x" * 4000))] * dice.choice((1, 3, 99))
        body["method"], reason = "sight", Reason.MALFORMED if len(paths) > 16 else None
        body["arguments"] = {"root": dice.choice(("/", prey.spec.root)), "paths": paths, "cargo": "99999"}
    envelope["body"] = base64.b64encode(json.dumps(body).encode()).decode()
    return json.dumps(envelope).encode(), reason


def run(dice: Random, prey: Prey) -> tuple[tuple[Any, ...], ...]:
    """Its hash, a shard's, and the message: all in good order, but for one thing that no producer writes."""
    name = f"20990101-000000-{dice.randrange(1 << 40):010x}"
    spec, items = prey.spec, b"000/000000.jpg"
    text, extra = spec.to_text(), dict[str, str]()
    match dice.randrange(9):
        case 0:
            items = dice.choice((b"../" * 9, b"a/../../")) + prey.canary.lstrip("/").encode()
        case 1:
            items = prey.canary.encode()
        case 2:
            items = dice.choice((b"", b"a\0b", b"x" * 5000, b"x" * (2 << 20), b"\0" * 4096))
        case 3:
            text = replace(spec, imgsz=(100_000, 100_000)).to_text()
        case 4:
            text = replace(spec, floor=float("nan"), image_timeout=-1.0, max_pixels=0, scale="9:1").to_text()
        case 5:
            text = dice.choice(("", "[]", "{}", "[" * 5000, text.replace("0", '"0"'), text[:-9]))
        case 6:
            text = text.replace('"datasets"', '"new": 1, "datasets"')
        case 7:
            text = text.replace(spec.queue, "another-00000000")
        case _:
            extra = {"cargo": dice.choice(("x", "99999", "-1", "\xff"))}
    return _opened(prey, name, items, text, extra)


def elsewhere(dice: Random, prey: Prey) -> tuple[tuple[Any, ...], ...]:
    """By its path, by a link, or by a URL: of this machine, of its network's own services."""
    name, path = f"20980101-000000-{dice.randrange(1 << 40):010x}", Path(prey.canary)
    root, item = dice.choice(
        (
            ("/", prey.canary.lstrip("/")),
            (str(path.parent), path.name),
            (f"{prey.spec.root}/../{path.parent.name}", path.name),
            (prey.spec.root, prey.link),
            (f"file://{path.parent}", path.name),
            (f"local://{path.parent}", path.name),
            ("http://127.0.0.1:9", "x.jpg"),
            ("http://169.254.169.254", "latest/meta-data"),
        )
    )
    return _opened(prey, name, item.encode(), replace(prey.spec, root=root).to_text(), {})


def _opened(prey: Prey, name: str, items: bytes, text: str, extra: dict[str, str]) -> tuple[tuple[Any, ...], ...]:
    """What an owner does to open a shard of one item."""
    shard, digest = ShardId(0, 0, 1), _digest(text)
    message = ShardMessage(name, shard, 1, digest)
    fields = [
        part for pair in {"state": "running", "spec_digest": digest, "spec": text, **extra}.items() for part in pair
    ]
    return (
        ("HSET", run_key(name), *fields),
        ("HSET", shard_key(name, shard), "attempt", 1, "sent", 1, "items", items),
        ("EXPIRE", run_key(name), _LIFE_S),
        ("EXPIRE", shard_key(name, shard), _LIFE_S),
        ("LPUSH", prey.list_key, _with(opened(prey.tasks[0]), message)),
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _with(envelope: dict[str, Any], message: ShardMessage) -> bytes:
    args, _, after = json.loads(base64.b64decode(envelope["body"]))
    envelope["body"] = base64.b64encode(json.dumps([args, message.to_kwargs(), after]).encode()).decode()
    return json.dumps(envelope).encode()


def for_owner(dice: Random, prey: Prey) -> tuple[tuple[Any, ...], ...]:
    """Heartbeats, shares, and ids of committed shards, that are none."""
    name, rubbish = f"\x1b[2J{dice.randrange(50)}", dice.choice(_RUBBISH)
    return dice.choice(
        (
            (("SET", process_key(name), rubbish, "EX", _LIFE_S), ("ZADD", PROCESSES_KEY, 1, name)),
            (("SET", worker_key(name), rubbish, "EX", _LIFE_S), ("ZADD", WORKERS_KEY, 1, name)),
            (("RPUSH", f"{PREFIX}done:{prey.beside}", rubbish or b"0:99999+1"),),
            (("ZADD", f"{PREFIX}sharing:{prey.queue}", 1e12, rubbish), ("EXPIRE", f"{PREFIX}sharing:{prey.queue}", 5)),
            (("SET", f"{PREFIX}figures:x", rubbish, "EX", _LIFE_S), ("ZADD", f"{PREFIX}runs", 1e12, "x")),
        )
    )
