"""What was measured, as bench-results/ has it, in; the tables of docs/scale.md, in Markdown, out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from benchmarks.scale.paper import estimate

#: A million items: what is wanted, as docs/scale.md has it.
_GOALS = {
    "listed and durable": ("items/s", "20,000 or more"),
    "owner, most resident memory": ("MB", "under 300"),
    "Redis, most `used_memory`": ("MB", "under 50"),
    "last result to tables, COCO and CSV": ("s", "60 or less"),
}


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def items(found: dict[str, Any]) -> str:
    count, shards = found["items"], found["shards"]
    values = (found["listed_per_s"], found["owner_rss"] / 1e6, found["redis_peak"] / 1e6, found["outputs_s"])
    goals = [
        [name, f"{value:,.0f} {unit}", goal] for (name, (unit, goal)), value in zip(_GOALS.items(), values, strict=True)
    ]
    costs = [
        ["the whole command", f"{found['whole_s']:,.0f} s, {found['images_per_s']:,.0f} images/s, {shards:,} shards"],
        ["owner, until the last result", _each(found["owner_cpu_s"], count)],
        ["owner, tables and exports", _each(found["assembly_cpu_s"], count)],
        ["broker", _each(found["broker_cpu_s"], count)],
        ["workers' parents", _each(found["parents_cpu_s"], count)],
        ["worker processes", _each(found["workers_cpu_s"] - found["parents_cpu_s"], count)],
        *([f"disk, {part}", f"{size / count:,.1f} bytes an image"] for part, size in found["disk"].items()),
        *_in_redis(found["shard_in_redis"]),
    ]
    load = f"load average {found['load_before']} before, {found['load_after']} after"
    return "\n\n".join(
        [
            f"{count:,} items, {found['processes']} processes; {load}",
            _table(["", "measured", "wanted"], goals),
            _table(["", "cost"], costs),
        ]
    )


def _each(seconds: float, count: int) -> str:
    return f"{seconds:,.1f} s of CPU, {seconds / count * 1e6:,.1f} us an image"


def _in_redis(shards: dict[str, Any]) -> list[list[str]]:
    return [
        [f"Redis, a shard of {one['items']:,} {state}", f"{one['bytes'] / one['items']:,.0f} bytes an image"]
        for state, one in shards.items()
    ]


#: Column, and how a step's figure becomes its cell.
_STEPS: dict[str, Callable[[dict[str, Any]], str]] = {
    "processes": lambda one: f"{one['step']['processes']:,}",
    "images/s in, out (ideal)": lambda one: (
        f"{one['images_in_per_s']:,.0f}, {one['images_out_per_s']:,.0f} ({one['ideal_per_s']:,.0f})"
    ),
    "shards/s": lambda one: f"{one['shards_per_s']:,.1f}",
    "owner, of a core": lambda one: f"{one['used']['owner']['share']:.1%}",
    "broker": lambda one: f"{one['used']['broker']['share']:.1%}",
    "simulators": lambda one: f"{one['used']['simulators']['share']:.1%}",
    "commit to disk, median, p99 s": lambda one: f"{one['delay_s'][0]:.3f}, {one['delay_s'][1]:.3f}",
    "open, queued, committed (most)": lambda one: (
        f"{one['waiting']['open']['most']:,}, {one['waiting']['queue']['most']:,}, "
        f"{one['waiting']['committed']['most']:,}"
    ),
    "Redis MB, most": lambda one: f"{one['memory'] / 1e6:.1f}, {one['memory_peak'] / 1e6:.1f}",
    "commands/s": lambda one: f"{one['commands_per_s']:,.0f}",
    "MB/s in, out": lambda one: f"{one['bytes_in_per_s'] / 1e6:.2f}, {one['bytes_out_per_s'] / 1e6:.2f}",
    "connections": lambda one: f"{one['clients']:,}",
    "load average": lambda one: f"{one['load_before']}, {one['load_after']}",
}


def processes(found: list[dict[str, Any]]) -> str:
    rows = [[cell(one) for cell in _STEPS.values()] for one in found]
    last = found[-1]
    notes = [
        f"{last['seconds']:.0f} s looked at; a message {last['message_bytes']:,} bytes, a process's heartbeat "
        f"{last['heartbeat_bytes']:,}; simulated processes late by {last['late_s']:.3f} s (p99); "
        f"{last['dropped']} commits dropped",
        *(f"{name}: {what}" for name, what in _in_redis(last["shard_in_redis"])),
    ]
    return "\n\n".join([_table(list(_STEPS), rows), *notes])


def paper(found: dict[str, Any], counts: Sequence[int]) -> str:
    rows = []
    for one in (estimate(found, count) for count in counts):
        rows.append(
            [
                f"{one.items:,}",
                *(f"{size / 1e9:,.1f}" for size in one.disk.values()),
                f"{one.listing_s:,.0f}",
                f"{one.collecting_s / 60:,.0f}",
                f"{one.assembling_s / 60:,.0f}",
                f"{one.running_bytes / 1e6:,.0f}",
                f"{one.ending_bytes / 1e6:,.0f}",
            ]
        )
    parts = [f"{part} GB" for part in estimate(found, 1).disk]
    head = ["items", *parts, "listing s", "owner min", "outputs min", "MB while running", "MB at the end"]
    return _table(head, rows)
