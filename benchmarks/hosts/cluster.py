"""A lab in, a hub on its first host and workers on others out, whose detector takes an image's time as told."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from benchmarks.hosts.lab import Host, Lab, Running
from chaos import plugin
from chaos.poisonable import NAME
from common import atomic_files
from common.errors import ManyeyesError

#: Seconds for a worker to load, and between looks at who is there: a command each.
_START_S, _LOOK_S = 60.0, 0.2


def equip(lab: Lab) -> None:
    """The detector on each host, as a wheel would install it."""
    for host in lab.hosts:
        host.environment |= plugin.install(host.folder / "plugin", host.folder / "pace")
    pace(lab.hosts, 0.0)


def pace(hosts: Iterable[Host], seconds: float) -> None:
    """What an image takes there from now on."""
    for host in hosts:
        with atomic_files.atomic_file(host.folder / "pace") as file:  # processes read it all the time
            file.write(str(seconds).encode())


@dataclass(frozen=True, slots=True)
class Hub:
    """What `producer up` has started on a host, without workers of its own."""

    host: Host
    #: A producer's, and a worker's.
    url: str
    join_url: str

    @classmethod
    def up(cls, host: Host, listen: str, state: str = "state") -> Hub:
        options = ("--listen", f"{listen}:0", "--cargo-port", "0", "--no-workers", "--no-flower", "--state", state)
        host.run("producer", "up", *options)
        urls = (host.run("producer", "url", role, "--state", state).strip() for role in ("producer", "worker"))
        return cls(host, *urls)

    def join(self, host: Host, processes: int = 1) -> Running:
        """As the hub says that another machine joins."""
        roots = ("--root", host.lab.folder)  # of which it sees its own part
        return host.start("worker", "start", "--join", self.join_url, "--detector", NAME, "-c", processes, *roots)

    def submit(self, host: Host, dataset: str, *options: object) -> Running:
        command = ("submit", dataset, "--detector", NAME, "--json", *options)
        return host.start("producer", *command, MANYEYES_BROKER_URL=self.url)

    def workers(self) -> list[dict[str, Any]]:
        """What `producer workers` says."""
        said: list[dict[str, Any]] = json.loads(
            self.host.run("producer", "workers", "--json", MANYEYES_BROKER_URL=self.url)
        )
        return said

    def await_processes(self, count: int) -> None:
        """Raises ManyeyesError if they do not come."""
        deadline = time.monotonic() + _START_S
        while sum(worker["alive"] for worker in self.workers()) < count:
            if time.monotonic() > deadline:
                raise ManyeyesError(f"{count} processes: not within {_START_S:.0f} s; there are {self.workers()}")
            time.sleep(_LOOK_S)
