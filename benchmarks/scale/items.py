"""A number of items in; what listing, holding, assembling and storing them for real costs out."""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from benchmarks import clusters, measure
from benchmarks.scale import footprint, nothing, stage, tree
from benchmarks.scale.footprint import Shard
from benchmarks.scale.watching import Seen, Server, Watch, load
from common.broker.connect import connect
from common.errors import ManyeyesError
from producer.rundir.journal import frames
from producer.rundir.manifest import SEGMENT_ITEMS

#: What must be in the table for the goals of docs/scale.md.
GOALS = {"listed_per_s": 20_000, "owner_mb": 300, "redis_peak_mb": 50, "outputs_s": 60}


@dataclass(frozen=True, slots=True)
class Items:
    """One run. CPU in seconds, sizes in bytes, instants in seconds."""

    items: int
    processes: int
    folder_s: float
    #: From the first durable segment of the manifest to the last, while the workers work.
    listed_per_s: float
    images_per_s: float
    whole_s: float
    #: From the last result on disk to each output, and to the end of all.
    outputs_s: float
    after_last_result_s: dict[str, float]
    shards: int
    owner_rss: int
    redis_empty: int
    redis_peak: int
    #: Until the last result, and after it.
    owner_cpu_s: float
    assembly_cpu_s: float
    broker_cpu_s: float
    workers_cpu_s: float
    #: Of it the workers' parents, who take the messages.
    parents_cpu_s: float
    disk: dict[str, int]
    shard_in_redis: dict[str, Shard]
    load_before: float
    load_after: float


def measured(items: int, processes: int, where: Path | None, keep: bool) -> Items:
    """Make the folder, run, look, remove. Raises ManyeyesError."""
    load_before = load()
    if where is not None:
        where.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="manyeyes-scale-", dir=where) as name:
        folder = Path(name)
        begun = time.monotonic()
        images = _images(folder, items, where if keep else None)
        folder_s = time.monotonic() - begun
        with clusters.embedded_broker(folder) as (url, server):
            env = stage.environment(folder, url)
            with stage.workers(folder, url, env, processes) as worker, connect(url) as client:
                empty = Server.look(client).memory
                said, seen, shard = _submit(folder, images, env, {"broker": server, "workers": worker}, client)
                return _facts(folder, said, seen, shard, (processes, folder_s, load_before, empty, Server.look(client)))


def _images(folder: Path, items: int, kept: Path | None) -> Path:
    """The folder of images: made, or there from the last time."""
    images = (kept or folder) / f"images-{items}"
    if not images.exists():
        tree.make(folder / "new", items)
        # In one step: one that was interrupted must not pass for a whole one.
        (folder / "new").rename(images)
    return images


def _submit(
    folder: Path, images: Path, env: dict[str, str], pids: dict[str, int], client: redis.Redis
) -> tuple[dict[str, Any], dict[str, Seen], dict[str, Shard]]:
    command = [measure.console_script("producer"), "submit", str(images), "--detector", nothing.NAME, "--json"]
    shards: dict[str, Shard] = {}
    with stage.started(command, folder, env, "owner") as owner:
        watch = Watch({**pids, "owner": owner.pid})
        watch.start()
        while owner.poll() is None:
            for run in (folder / "runs").glob("*"):
                footprint.note_shard(shards, client, run.name)
            time.sleep(0.5)
        seen = watch.end()
    if owner.returncode != 0:
        raise ManyeyesError(f"`producer submit` ended with {owner.returncode}: {stage.last_words(folder, 'owner')}")
    said: dict[str, Any] = json.loads((folder / "owner.out").read_text())
    return said, seen, shards


def _facts(
    folder: Path, said: dict[str, Any], seen: dict[str, Seen], shards: dict[str, Shard], more: tuple[Any, ...]
) -> Items:
    processes, folder_s, load_before, empty, server = more
    run = Path(folder, said["run_dir"])
    cpu = json.loads((run / "timings.json").read_text())["cpu_s"]
    last_result = _written(run / "journal.bin")
    outputs = ("images.parquet", "detections.coco.json", "detections.csv", "preview.jpg", "run.json")
    after = {name: round(_written(run / name) - last_result, 2) for name in outputs}
    return Items(
        items=said["items"],
        processes=processes,
        folder_s=round(folder_s, 1),
        listed_per_s=round(listed_per_s(run / "manifest", said["items"])),
        images_per_s=said["images_per_s"],
        whole_s=said["seconds"],
        outputs_s=max(after[name] for name in outputs[:3]),
        after_last_result_s=after,
        shards=sum(1 for _ in frames(run / "journal.bin")),
        owner_rss=seen["owner"].rss,
        redis_empty=empty,
        redis_peak=server.memory_peak,
        owner_cpu_s=cpu["producer"],
        assembly_cpu_s=round(seen["owner"].cpu_s - cpu["producer"], 2),
        broker_cpu_s=cpu["broker"],
        workers_cpu_s=round(cpu["processes"] + cpu["worker_parents"], 2),
        parents_cpu_s=cpu["worker_parents"],
        disk=footprint.on_disk(run),
        shard_in_redis=shards,
        load_before=load_before,
        load_after=load(),
    )


def _written(path: Path) -> float:
    return path.stat().st_mtime


def listed_per_s(manifest: Path, items: int) -> float:
    """Items a second that became durable, from the first segment on; 0 where there is only one."""
    begun = _written(min(manifest.glob("*.paths")))
    ended = _written(max(manifest.glob("*.paths")))
    return (items - SEGMENT_ITEMS) / (ended - begun) if items > SEGMENT_ITEMS else 0.0
