"""A plan on standard input, the life of a broker and a worker out; when the input ends, nothing of them stays.

Runs as its own process and session. Its standard input is a pipe whose other end only the owner has: the kernel
closes it when the owner ends, even by kill -9. Its standard output takes one JSON object a line, for the owner.
Standard library only, so that it starts in a few hundredths of a second.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from common import os_errors
from common.errors import BrokerError
from producer.cluster import valkey
from producer.cluster.process_group import END_SIGNALS, Children, Ended


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run. `environment` is added to the supervisor's own."""

    server: str
    folder: str
    password: str
    worker_command: tuple[str, ...]
    environment: dict[str, str]
    log_folder: str

    def to_line(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Plan:
        return cls(**json.loads(line))


class Supervisor:
    """One broker, one worker with all its processes, and the pipe that says how long they may live."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._address = valkey.Address(Path(plan.folder), plan.password)
        self._children = Children()

    def run(self) -> None:
        """Returns when everything has ended."""
        try:
            self._start()
            self._watch()
        except (BrokerError, OSError) as error:
            _tell(event="failed", text=os_errors.explain(error) if isinstance(error, OSError) else str(error))
        finally:
            self._end()

    def _start(self) -> None:
        logs = Path(self._plan.log_folder)
        broker = valkey.start(Path(self._plan.server), self._address, logs / "broker.log")
        self._children.note("broker", broker)
        command, environment = self._plan.worker_command, self._plan.environment
        worker = self._children.start("worker", command, environment, logs / "worker.log")
        _tell(event="ready", broker_pid=broker.pid, worker_pid=worker)

    def _watch(self) -> None:
        """Returns when the owner is gone, or has closed its end, or a signal asks for the end."""
        owner = sys.stdin.fileno()
        while True:
            readable, signals = self._children.wait(None, owner)
            if owner in readable or END_SIGNALS & signals:
                return
            self._report(self._children.reap()[0])

    def _end(self) -> None:
        """Kill all and remove the folder.

        Nobody is asked to end first. What a worker committed is in the broker, which goes too; what it had begun
        is done again or no longer wanted; and an idle Celery worker takes 2.2 to 2.7 s over a polite end (5.7.0).
        """
        self._report(self._children.kill())
        shutil.rmtree(self._address.folder, ignore_errors=True)

    def _report(self, ended: list[Ended]) -> None:
        for child in ended:
            _tell(event="ended", name=child.name, code=child.code)


def _tell(**event: Any) -> None:
    """One line for the owner. It may be gone: then nobody needs to know."""
    with contextlib.suppress(BrokenPipeError):
        os.write(sys.stdout.fileno(), json.dumps(event).encode() + b"\n")


def main() -> None:
    line = sys.stdin.buffer.readline()
    if line.endswith(b"\n"):  # else the owner ended before it had said what to do
        Supervisor(Plan.from_line(line)).run()
