"""A seeded generator and an attacker's knowledge in; hostile messages, as raw Redis commands, out."""

from __future__ import annotations

import base64
import bz2
import json
import lzma
import pickle
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from chaos.fuzz.mutate import mutate
from chaos.wire import forgeries
from chaos.wire.prey import Prey, opened
from common.protocol.rejections import Reason

Command = tuple[Any, ...]
#: Values of no type that anybody expects.
WRONG: tuple[Any, ...] = (None, True, -1, 0, 2**31, 2**63, 10**400, -(10**30), 1.5, float("nan"), float("inf"), "")
WRONG += ("\x00", "\x1b[2J", "x" * 5000, "\ud800", "../../etc/passwd", [], {}, [[]], {"a": None}, [None] * 500)
#: Bytes that a compressed message becomes.
_BOMB = 20 << 20


@dataclass(frozen=True, slots=True)
class Shot:
    kind: str
    commands: tuple[Command, ...]
    #: The reason for which it must be refused; None where it may be harmless.
    reason: Reason | None = None


class Witness:
    """Unpickled it leaves a file, and so does what it is loaded by."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path(self._path),)


def shot(dice: Random, prey: Prey) -> Shot:
    """The same seed and the same prey, the same shot."""
    kind = dice.choice(list(_KINDS))
    commands, reason = _KINDS[kind](dice, prey)
    return Shot(kind, commands, reason)


Made = tuple[tuple[Command, ...], Reason | None]


def _push(prey: Prey, raw: bytes, reason: Reason | None = None) -> Made:
    return (("LPUSH", prey.list_key, raw),), reason


def _real(dice: Random, prey: Prey) -> bytes:
    return dice.choice((*prey.tasks, *prey.live))


def _bytes(dice: Random, prey: Prey) -> Made:
    return _push(prey, mutate(dice, _real(dice, prey), dice.choice(prey.tasks))[0])


def _noise(dice: Random, prey: Prey) -> Made:
    raws = (dice.randbytes(dice.randrange(400)), b"", b"null", b"[]", b"{}", b'{"body": "x"}', b"[" * 40_000)
    return _push(prey, dice.choice(raws), Reason.MALFORMED)


def _fields(dice: Random, prey: Prey) -> Made:
    """A wrong value somewhere in the envelope or in the body."""
    envelope = opened(_real(dice, prey))
    if dice.random() < 0.5:
        body = json.loads(base64.b64decode(envelope["body"]))
        _spoil(dice, body)
        envelope["body"] = base64.b64encode(json.dumps(body).encode()).decode()
    else:
        _spoil(dice, envelope)
    return _push(prey, json.dumps(envelope).encode())


def _spoil(dice: Random, data: Any) -> None:
    """One value, however deep."""
    keys = list(data) if isinstance(data, dict) else list(range(len(data)))
    key = dice.choice(keys)
    if isinstance(data[key], (dict, list)) and data[key] and dice.random() < 0.8:
        return _spoil(dice, data[key])
    if isinstance(data, dict) and dice.random() < 0.2:
        del data[key]
    else:
        data[key] = dice.choice(WRONG)
    return None


def _other_content(dice: Random, prey: Prey) -> Made:
    """Pickle that would run code, YAML that would, msgpack, bytes."""
    body, kind = dice.choice(
        (
            (pickle.dumps(Witness(prey.witness)), "application/x-python-serialize"),
            (f"!!python/object/apply:pathlib.Path.touch [{prey.witness}]".encode(), "application/x-yaml"),
            (b"\x93\x90\x80\x80", "application/x-msgpack"),
            (b"\0", "application/data"),
            (b"text", "text/plain"),
        )
    )
    envelope = {**opened(_real(dice, prey)), "content-type": kind, "content-encoding": "binary"}
    envelope["body"] = base64.b64encode(body).decode()
    return _push(prey, json.dumps(envelope).encode(), Reason.CONTENT_TYPE)


_BOMBS = {"zlib": zlib.compress(bytes(_BOMB)), "bzip2": bz2.compress(bytes(_BOMB)), "lzma": lzma.compress(bytes(_BOMB))}


def _bomb(dice: Random, prey: Prey) -> Made:
    name = dice.choice(list(_BOMBS))
    envelope = opened(_real(dice, prey))
    envelope["headers"]["compression"] = name
    envelope["body"] = base64.b64encode(_BOMBS[name]).decode()
    return _push(prey, json.dumps(envelope).encode(), Reason.COMPRESSED)


def _huge(dice: Random, prey: Prey) -> Made:
    """Most are a quarter of a megabyte; one in fifty is eight."""
    size = 8 << 20 if dice.random() < 0.02 else 1 << 18
    return _push(prey, dice.choice((b"[" + b"[]," * (size // 3) + b"1]", b'"' + b"x" * size + b'"')), Reason.TOO_LARGE)


def _other_task(dice: Random, prey: Prey) -> Made:
    names = ["accumulate", "backend_cleanup", "chain", "chord", "chord_unlock", "chunks", "group", "map", "starmap"]
    envelope = opened(_real(dice, prey))
    envelope["headers"]["task"] = dice.choice([*(f"celery.{name}" for name in names), "os.system", "", None, ["x"]])
    return _push(prey, json.dumps(envelope).encode(), Reason.UNKNOWN_TASK)


def _options(dice: Random, prey: Prey) -> Made:
    """What would make Celery wait, or do more than the task."""
    envelope = opened(_real(dice, prey))
    signature = {"task": "celery.backend_cleanup", "args": [], "kwargs": {}, "options": {}}
    if dice.random() < 0.5:
        args, kwargs, _ = json.loads(base64.b64decode(envelope["body"]))
        after = {dice.choice(("callbacks", "errbacks", "chain", "chord")): [signature]}
        envelope["body"] = base64.b64encode(json.dumps([args, kwargs, after]).encode()).decode()
    else:
        name = dice.choice(("eta", "expires", "timelimit", "retries", "group"))
        value = {"timelimit": [1, 1], "retries": 5}.get(name, "2099-01-01T00:00:00+00:00")
        envelope["headers"][name] = value
    return _push(prey, json.dumps(envelope).encode(), Reason.OPTIONS)


def _replay(dice: Random, prey: Prey) -> Made:
    """Of a run that is over, and of shards that are taken or done."""
    return _push(prey, _real(dice, prey))


def _altered(dice: Random, prey: Prey) -> Made:
    """Well formed, and not what its owner opened."""
    envelope = opened(_real(dice, prey))
    args, kwargs, after = json.loads(base64.b64decode(envelope["body"]))
    kwargs |= dice.choice(
        (
            {"shard": "0:0+4096"},
            {"shard": f"{dice.randrange(9)}:{dice.randrange(10**6)}+{dice.randint(1, 4096)}"},
            {"attempt": dice.randint(1, 99)},
            {"spec_digest": dice.randbytes(32).hex()},
            {"run": "20200101-000000-aaaaaaaa"},
        )
    )
    envelope["body"] = base64.b64encode(json.dumps([args, kwargs, after]).encode()).decode()
    return _push(prey, json.dumps(envelope).encode())


def _command(dice: Random, prey: Prey) -> Made:
    raw, reason = forgeries.command(dice, prey)
    return (("PUBLISH", prey.channel, raw),), reason


def _mutated_command(dice: Random, prey: Prey) -> Made:
    return (("PUBLISH", prey.channel, mutate(dice, prey.command, prey.tasks[0])[0]),), None


def _forged_run(dice: Random, prey: Prey) -> Made:
    return forgeries.run(dice, prey), Reason.PROTOCOL


def _elsewhere(dice: Random, prey: Prey) -> Made:
    """A run in good order, of files that this worker may not read: their rows say so."""
    return forgeries.elsewhere(dice, prey), None


def _at_owner(dice: Random, prey: Prey) -> Made:
    return forgeries.for_owner(dice, prey), None


_KINDS: dict[str, Callable[[Random, Prey], Made]] = {
    "mutated bytes": _bytes,
    "mutated fields": _fields,
    "no message": _noise,
    "pickle, YAML, bytes": _other_content,
    "compressed": _bomb,
    "huge": _huge,
    "another task": _other_task,
    "with options": _options,
    "replayed": _replay,
    "altered": _altered,
    "forged command": _command,
    "mutated command": _mutated_command,
    "forged run": _forged_run,
    "run of other files": _elsewhere,
    "for the owner": _at_owner,
}
