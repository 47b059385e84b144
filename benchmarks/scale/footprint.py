"""A run directory in, its bytes by part; a broker in, the bytes of one shard, message and heartbeat; out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import redis

from common.broker.connect import PREFIX
from common.protocol.heartbeats import PROCESSES_KEY, process_key
from common.protocol.messages import ShardId

#: Which part of a run directory a file belongs to, by the beginning of its path; the first that fits.
_PARTS = {
    "manifest/": "manifest",
    "journal.bin": "journal",
    "images.parquet": "tables",
    "detections.parquet": "tables",
    "timings.parquet": "tables",
    "detections.csv": "csv",
    "detections.coco.json": "coco",
    "dataset.coco.json": "coco",
}


def on_disk(run_dir: Path) -> dict[str, int]:
    found = dict.fromkeys([*_PARTS.values(), "other"], 0)
    for file in run_dir.rglob("*"):
        if file.is_file():
            name = file.relative_to(run_dir).as_posix()
            found[next((part for begin, part in _PARTS.items() if name.startswith(begin)), "other")] += (
                file.stat().st_size
            )
    return found


@dataclass(frozen=True, slots=True)
class Shard:
    """Bytes of an open shard's key, and how many items it has."""

    items: int
    bytes: int


def note_shard(known: dict[str, Shard], client: redis.Redis, run: str) -> None:
    """The largest that was seen `sent`, and `committed`; the first of the open ones is looked at."""
    names = cast("list[bytes]", client.zrange(f"{PREFIX}open:{run}", 0, 0))
    for name in names:
        key = f"{PREFIX}shard:{run}:{name.decode()}"
        state = "committed" if client.hexists(key, "committed") else "sent"
        found = Shard(ShardId.parse(name.decode()).count, int(cast(int, client.memory_usage(key, samples=0)) or 0))
        if found.bytes and (state not in known or found.items >= known[state].items):
            known[state] = found


def of_heartbeat(client: redis.Redis) -> int:
    """Bytes of one process's heartbeat in Redis, its place in the register included; 0 where nobody lives."""
    names = cast("list[bytes]", client.zrange(PROCESSES_KEY, 0, -1))
    if not names:
        return 0
    key, register = client.memory_usage(process_key(names[0].decode())), client.memory_usage(PROCESSES_KEY, samples=0)
    return int(cast(int, key) or 0) + int(cast(int, register) or 0) // len(names)
