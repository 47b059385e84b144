"""What a million items cost for real in; what any number of them costs, by the item, out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

#: Bytes of memory that the owner keeps an item while it runs: done, and done or in flight
#: (producer/rundir/item_set.py).
RUNNING_BYTES = 2
#: At the end: one stage's seconds and a sorted copy (producer/results/timings.py). `verify` takes 14
#: (producer/verify/image_check.py).
ENDING_BYTES = 8
#: In a run directory, by the item.
_DISK = ("manifest", "journal", "tables", "csv", "coco")


@dataclass(frozen=True, slots=True)
class Estimate:
    """Of a dataset of so many items. Bytes and seconds."""

    items: int
    disk: dict[str, int]
    listing_s: float
    #: On the owner's one core, images coming as fast as they can be written down.
    collecting_s: float
    assembling_s: float
    running_bytes: int
    ending_bytes: int

    @property
    def disk_bytes(self) -> int:
        return sum(self.disk.values())


def estimate(measured: dict[str, Any], items: int) -> Estimate:
    """`measured`: what bench-results/scale-items.json has. All of it grows with the items, and nothing faster."""
    times = items / measured["items"]
    return Estimate(
        items=items,
        disk={part: int(measured["disk"][part] * times) for part in _DISK},
        listing_s=items / measured["listed_per_s"],
        collecting_s=measured["owner_cpu_s"] * times,
        assembling_s=measured["assembly_cpu_s"] * times,
        running_bytes=RUNNING_BYTES * items,
        ending_bytes=ENDING_BYTES * items,
    )
