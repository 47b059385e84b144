"""Open shards in Redis: opened, claimed, committed, split and freed by Lua scripts, each one step."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any, cast

import redis

from common.broker.connect import PREFIX
from common.errors import FencedError, ProtocolError
from common.limits import (
    FINISHED_LIFE_S,
    LEASE_LIFE_S,
    MAX_PATH_BYTES,
    MAX_RESULT_BYTES,
    MAX_SHARD_BYTES,
    MAX_SPEC_BYTES,
)
from common.protocol.messages import ShardId, ShardMessage


class RunState(StrEnum):
    SUBMITTING = "submitting"
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    STOPPED = "stopped"
    CANCELLED = "cancelled"

    @property
    def finished(self) -> bool:
        return self in (RunState.DONE, RunState.STOPPED, RunState.CANCELLED)


class Fate(StrEnum):
    """What became of a claim that will bring no result, in the words of the worker that had it."""

    #: Its process died by itself; or the worker killed it for the image's time, or its memory.
    CRASHED = "crashed"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    #: The worker was told to end, and gives it back.
    HANDED_BACK = "handed_back"
    #: The bytes of its items are not where they should be.
    NOT_LOADED = "not_loaded"
    #: Its worker does not reach the server that they are on.
    CUT_OFF = "cut_off"


@dataclass(frozen=True, slots=True)
class OpenShard:
    """What the owner sees of a shard in flight. Instants are Redis TIME, seconds."""

    shard: ShardId
    attempt: int
    sent: float
    claimed_by: str | None
    claimed: float | None
    committed: float | None
    fate: Fate | None = None
    #: The item at which its process died, where that is known.
    suspect: int | None = None
    #: What an earlier process that had it alone was killed for.
    killer: Fate | None = None
    #: Second attempts that it was given, for being slow.
    slow: int = 0
    #: Processes that died with it, and are held against it.
    deaths: int = 0
    #: It was sent to the front of its queue.
    ahead: bool = False

    @property
    def queue_wait_s(self) -> float | None:
        return None if self.claimed is None else max(0.0, self.claimed - self.sent)


@dataclass(frozen=True, slots=True)
class Claim:
    """The answer to a claim: the packed items and where their bytes are (common.protocol.relay), or why not."""

    status: str
    items: bytes | None = None
    cargo: str = ""


#: Fields of a shard in Redis, in the order of OpenShard's.
_SEEN = (
    *("attempt", "sent", "by", "claimed", "committed"),
    *("fate", "suspect", "killer", "times:slow", "times:died", "ahead"),
)


def run_key(run: str) -> str:
    return f"{PREFIX}run:{run}"


def shard_key(run: str, shard: ShardId | str) -> str:
    return f"{PREFIX}shard:{run}:{shard}"


def _ids(names: Iterable[bytes]) -> list[ShardId]:
    """What is no shard's name was put there by somebody else, and ends no owner."""
    found = []
    for name in names:
        with contextlib.suppress(ProtocolError):
            found.append(ShardId.parse(name.decode(errors="replace")))
    return found


def _open_shard(shard: ShardId, row: Any) -> OpenShard | None:
    """None for one that is not open. What cannot be read has no result that can: it will be opened anew."""
    if isinstance(row, redis.RedisError) and not str(row).startswith("WRONGTYPE"):
        raise row
    try:
        attempt, sent, by, claimed, committed, fate, suspect, killer, slow, deaths, ahead = row
        if attempt is None:
            return None
        if by and not by.decode().isprintable():
            raise ValueError("a name that would be a terminal's to obey")
        return OpenShard(
            shard=shard,
            attempt=int(attempt),
            sent=float(sent),
            claimed_by=by.decode() if by else None,
            claimed=float(claimed) if claimed else None,
            committed=float(committed) if committed else None,
            fate=Fate(fate.decode()) if fate else None,
            suspect=int(suspect) if suspect else None,
            killer=Fate(killer.decode()) if killer else None,
            slow=int(slow or 0),
            deaths=int(deaths or 0),
            ahead=bool(ahead),
        )
    except (TypeError, ValueError):
        return OpenShard(shard, attempt=0, sent=0.0, claimed_by=None, claimed=None, committed=1.0)


@cache
def _source(name: str) -> str:
    return (files(__name__) / f"{name}.lua").read_text()


class Ledger:
    """One run's shards. Owners pass the token of their lease; a lost lease raises FencedError."""

    def __init__(self, client: redis.Redis, run: str) -> None:
        self.client = client
        self.run = run
        self.run_key = run_key(run)
        self._lease_key = f"{PREFIX}lease:{run}"
        self._open_key = f"{PREFIX}open:{run}"
        self._done_key = f"{PREFIX}done:{run}"

    def _shard_key(self, shard: ShardId) -> str:
        return shard_key(self.run, shard)

    def _call(self, name: str, keys: list[str], args: list[Any]) -> Any:
        """EVALSHA, and EVAL once where the server does not know the script."""
        script = self.client.register_script(_source(name))
        return script(keys=keys, args=args)

    # The owner's side.

    def reserve(self, fields: dict[str, str]) -> bool:
        """Take the run's id; once more where the broker's answer was lost. False where another run has it."""
        if not self.client.hsetnx(self.run_key, "state", RunState.SUBMITTING):
            known = cast("bytes | None", self.client.hget(self.run_key, "created"))
            if known is not None and known.decode() != fields.get("created"):
                return False
        self.restore(fields)
        return True

    def restore(self, fields: dict[str, str]) -> None:
        """Write the run's fields, also after Redis has lost them."""
        self.client.hset(self.run_key, mapping=cast(Any, fields))
        # A run that was finished, and goes on, must not run out.
        self.client.persist(self.run_key)

    def lease(self, token: int | None, lowest: int = 1) -> int:
        """Take (token None) or renew the lease. Raises FencedError when another owner holds it."""
        args = ["" if token is None else token, int(LEASE_LIFE_S * 1000), lowest]
        got = int(self._call("lease", [self._lease_key, self.run_key], args))
        if got == 0:
            raise FencedError(f"run {self.run} has another live owner; `producer watch {self.run}` shows it")
        return got

    def release(self, token: int) -> None:
        if self.client.get(self._lease_key) == str(token).encode():
            self.client.delete(self._lease_key)

    def knows_run(self) -> bool:
        return bool(self.client.hexists(self.run_key, "spec"))

    def set_state(self, state: RunState) -> None:
        self.client.hset(self.run_key, "state", state)

    def open(self, token: int, shard: ShardId, items: bytes) -> bool:
        """False where it is open already."""
        keys = [self._lease_key, self._open_key, self._shard_key(shard)]
        return self._checked(self._call("open", keys, [token, str(shard), shard.first, items])) == "ok"

    def resend(self, token: int, shard: OpenShard, why: str, killer: Fate | None = None) -> tuple[int, int] | None:
        """(the new attempt, times that this shard was sent again for `why`); None where it is no longer needed."""
        keys = [self._lease_key, self._shard_key(shard.shard)]
        status, *numbers = self._call("resend", keys, [token, shard.attempt, why, killer or ""])
        if self._checked(status) != "ok":
            return None
        return int(numbers[0]), int(numbers[1])

    def split(self, token: int, parent: ShardId, parts: Mapping[ShardId, bytes], begun: bool = False) -> bool:
        """`parts` with their packed items. False where the parent is no longer open and uncommitted.

        `begun`: the parent's beginning is committed and on the owner's disk, and the parts are its rest.
        """
        keys = [self._lease_key, self._open_key, *(self._shard_key(shard) for shard in (parent, *parts))]
        args: list[Any] = [token, str(parent), int(begun)]
        for shard, items in parts.items():
            args += [str(shard), shard.first, items]
        return self._checked(self._call("split", keys, args)) == "ok"

    def free(self, token: int, *shards: ShardId) -> None:
        """All in one step: an owner far away would spend its time waiting for one after the other."""
        keys = [self._lease_key, self._open_key, *map(self._shard_key, shards)]
        self._checked(self._call("free", keys, [token, *map(str, shards)]))

    def wait_committed(self, timeout: float) -> list[ShardId]:
        """Ids of newly committed shards; waits up to `timeout` seconds for the first.

        An id popped here and lost with its owner is found again among the open shards.
        """
        first = cast("tuple[bytes, bytes] | None", self.client.blpop([self._done_key], timeout))
        if first is None:
            return []
        more = cast("list[bytes] | None", self.client.lpop(self._done_key, 1000)) or []
        return _ids((first[1], *more))

    def results(self, shards: Sequence[ShardId]) -> list[bytes | None]:
        """In one round trip; None for those that have none, nothing for one that is too large to be taken."""
        keys = [self._shard_key(shard) for shard in shards]
        return cast("list[bytes | None]", self._call("results", keys, [MAX_RESULT_BYTES]) if keys else [])

    def open_shards(self) -> list[OpenShard]:
        return self.look(_ids(cast("list[bytes]", self.client.zrange(self._open_key, 0, -1))))

    def look(self, ids: list[ShardId]) -> list[OpenShard]:
        """The state of those of `ids` that are open. Of one in which somebody else has written: committed, at once."""
        pipe = self.client.pipeline(transaction=False)
        for shard in ids:
            pipe.hmget(self._shard_key(shard), list(_SEEN))
        rows = pipe.execute(raise_on_error=False)
        found = (_open_shard(shard, row) for shard, row in zip(ids, rows, strict=True))
        return [shard for shard in found if shard is not None]

    def close(self, token: int, state: RunState) -> None:
        """Drop what is open, keep the run's own key a week for `status`.

        The lease may have run out while the outputs were written: it is renewed first.
        """
        self.lease(token)
        for shard in self.open_shards():
            self.free(token, shard.shard)
        self.client.delete(self._done_key)
        self.set_state(state)
        self.client.expire(self.run_key, FINISHED_LIFE_S)
        self.release(token)

    def withdraw(self, key: str, mark: str, most: int) -> int:
        """Take messages with `mark` in them out of a list of a queue; returns how many, `most` at most."""
        return int(self._call("withdraw", [key], [mark, most]))

    def now(self) -> float:
        seconds, micros = self.client.time()
        return seconds + micros / 1e6

    def _checked(self, status: bytes) -> str:
        if status == b"fenced":
            raise FencedError(f"run {self.run} was taken over by another owner; this one stops")
        return status.decode()

    # The workers' side.

    def claim(self, message: ShardMessage, process: str) -> Claim:
        keys = [self.run_key, self._shard_key(message.shard)]
        most = max(MAX_SHARD_BYTES, MAX_PATH_BYTES)
        status, *rest = self._call("claim", keys, [message.attempt, process, message.spec_digest, most])
        if not rest:
            return Claim(status.decode(errors="replace"))
        items, cargo = rest
        return Claim(status.decode(), items, cargo.decode(errors="replace"))

    def report(self, shard: ShardId, attempt: int, process: str, fate: Fate, item: int | None = None) -> bool:
        """Say of a process's claim that it will bring no result. False where the claim is no longer its own."""
        args = [attempt, process, fate, "" if item is None else item]
        alone = shard if item is None else ShardId(shard.generation, item, 1)
        return bool(self._call("report", [self._shard_key(shard), self._shard_key(alone)], args) == b"ok")

    def commit(self, shard: ShardId, result: bytes) -> str:
        """`ok`, or why the result was dropped: `committed` by another attempt, or `closed`."""
        return self._commit(shard, result)

    def commit_beginning(self, message: ShardMessage, process: str, result: bytes) -> str:
        """Of a claimed shard, the result of its first items; the rest is handed back. As `commit` says, or `stale`.

        That is: a later attempt was sent, whose process may do it all.
        """
        return self._commit(message.shard, result, message.attempt, process)

    def _commit(self, shard: ShardId, result: bytes, *claim: int | str) -> str:
        keys = [self._shard_key(shard), self._done_key]
        return cast(bytes, self._call("commit", keys, [str(shard), result, *claim])).decode()

    def spec_text(self) -> str:
        """Raises ProtocolError."""
        # Asked first: who reads it has no use for half a gigabyte.
        length = self.client.hstrlen(self.run_key, "spec")
        text = cast("bytes | None", self.client.hget(self.run_key, "spec")) if length <= MAX_SPEC_BYTES else None
        if text is None:
            raise ProtocolError(f"run {self.run} has no spec in Redis, or one of {length} bytes")
        return text.decode(errors="replace")
