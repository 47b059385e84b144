"""Processes and a broker in; their CPU, their largest memory and the broker's, watched in a thread, out."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import psutil
import redis

#: Seconds between looks.
LOOK_S = 0.25


@dataclass(slots=True)
class Seen:
    """Of one process, or of one and its descendants: seconds of CPU so far, most bytes resident at once."""

    cpu_s: float = 0.0
    rss: int = 0


@dataclass(frozen=True, slots=True)
class Server:
    """A broker's own figures at one instant."""

    at: float
    cpu_s: float
    memory: int
    memory_peak: int
    clients: int
    commands: int
    bytes_in: int
    bytes_out: int

    @classmethod
    def look(cls, client: redis.Redis) -> Server:
        info = client.info("everything")
        return cls(
            at=time.monotonic(),
            cpu_s=info["used_cpu_user"] + info["used_cpu_sys"],
            memory=info["used_memory"],
            memory_peak=info["used_memory_peak"],
            clients=info["connected_clients"],
            commands=info["total_commands_processed"],
            bytes_in=info["total_net_input_bytes"],
            bytes_out=info["total_net_output_bytes"],
        )


def load() -> float:
    """Processes that wanted a core in the last minute."""
    return round(os.getloadavg()[0], 2)


def look(pid: int, family: bool = False) -> Seen:
    """Nothing for a process that is gone. Pages that processes share count in each."""
    found = Seen()
    try:
        top = psutil.Process(pid)
        for process in (top, *(top.children(recursive=True) if family else ())):
            try:
                times = process.cpu_times()
                found.cpu_s += times.user + times.system
                found.rss += process.memory_info().rss
            except psutil.Error:
                continue
    except psutil.Error:
        return found
    return found


@dataclass(eq=False)
class Watch(threading.Thread):
    """Looks at processes until `end`; they may come and go meanwhile."""

    pids: Mapping[str, int]
    seen: dict[str, Seen] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__(name="watch", daemon=True)
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(LOOK_S):
            self.look()

    def look(self) -> None:
        for name, pid in self.pids.items():
            now, known = look(pid, family=name == "workers"), self.seen.setdefault(name, Seen())
            known.cpu_s = max(known.cpu_s, now.cpu_s)
            known.rss = max(known.rss, now.rss)

    def end(self) -> dict[str, Seen]:
        self._ended.set()
        self.join()
        return self.seen
