"""A running `producer submit` in; out come its processes by role, the most memory each held, and those that died."""

from __future__ import annotations

import contextlib
import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import psutil

#: Looks. A process that the others outlive by so many did not end with them.
_DEAD_AFTER = 2
_HIGH_WATER = re.compile(r"^VmHWM:\s+(\d+) kB", re.MULTILINE)


@dataclass(slots=True)
class Seen:
    role: str
    #: Bytes, resident.
    peak: int = 0
    missed: int = 0


@dataclass(slots=True)
class Watch:
    """Look often; the kernel keeps the high-water marks in between (Linux)."""

    seen: dict[int, Seen] = field(default_factory=dict)

    def look(self, producer: int) -> None:
        now: set[int] = set()
        with contextlib.suppress(psutil.Error):
            top = psutil.Process(producer)
            for process in (top, *top.children(recursive=True)):
                with contextlib.suppress(psutil.Error):
                    role = _role(process, producer)
                    now.add(process.pid)
                    known = self.seen.setdefault(process.pid, Seen(role))
                    known.peak = max(known.peak, peak(process))
        # When the run ends all of them go at once: only who is missed while the worker lives has died.
        if any(self.seen[pid].role == "worker" for pid in now):
            for pid, process_seen in self.seen.items():
                process_seen.missed += pid not in now

    def pool(self) -> set[int]:
        return {pid for pid, seen in self.seen.items() if seen.role == "process"}

    def died(self) -> set[int]:
        return {pid for pid in self.pool() if self.seen[pid].missed >= _DEAD_AFTER}

    def peaks(self) -> dict[str, int]:
        """Bytes by role: the largest of its processes."""
        peaks: dict[str, int] = defaultdict(int)
        for seen in self.seen.values():
            peaks[seen.role] = max(peaks[seen.role], seen.peak)
        return dict(peaks)


def _role(process: psutil.Process, producer: int) -> str:
    if process.pid == producer:
        return "producer"
    command = " ".join(process.cmdline())
    if "valkey" in command:
        return "broker"
    if "producer.cluster.supervisor" in command:
        return "supervisor"
    if "worker.preflight" in command:
        return "model check"
    parent = process.parent()
    # Pool processes are forks of the worker: they bear its command.
    forked = parent is not None and " ".join(parent.cmdline()) == command
    return "process" if forked else "worker"


def peak(process: psutil.Process) -> int:
    with contextlib.suppress(OSError):
        found = _HIGH_WATER.search(Path(f"/proc/{process.pid}/status").read_text())
        if found:
            return int(found[1]) * 1024
    size: int = process.memory_info().rss
    return size
