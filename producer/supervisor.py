"""A plan on standard input, the life of a broker and a worker out; when the input ends, nothing of them stays.

Runs as its own process and session. Its standard input is a pipe whose other end only the owner has: the kernel
closes it when the owner ends, even by kill -9. Its standard output takes one JSON object a line, for the owner.
Standard library only, so that it starts in a few hundredths of a second.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from common.errors import BrokerError
from producer import valkey
from producer.prctl import adopt_orphans, die_with_parent

#: Seconds. A killed process is gone in milliseconds, unless the kernel holds it in a disk or network wait.
KILL_S = 5.0
#: Seconds. The longest between two looks at who is left, while ending.
_LOOK_S = 0.05
#: Signals at which everything ends as if the owner had.
_END_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}


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
        #: Names of the two by pid, until each has ended.
        self._alive: dict[int, str] = {}
        #: Only held: a forgotten Popen would take its child's exit status before `_reap` does.
        self._started: list[subprocess.Popen[bytes]] = []
        #: The worker leads a process group of its own, which its pool processes are in.
        self._worker_group: int | None = None
        # Signals wake `select` through a pipe: none can be missed between a look and a wait.
        self._wake, wake_end = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(wake_end, False)
        signal.set_wakeup_fd(wake_end)
        for number in (*_END_SIGNALS, signal.SIGCHLD):
            # A handler, not SIG_IGN: what is ignored here would be ignored in the worker too.
            signal.signal(number, lambda *_: None)

    def run(self) -> None:
        """Returns when everything has ended."""
        adopt_orphans()
        try:
            self._start()
            self._watch()
        except (BrokerError, OSError) as error:
            _tell(event="failed", text=str(error))
        finally:
            self._end()

    def _start(self) -> None:
        logs = Path(self._plan.log_folder)
        broker = valkey.start(Path(self._plan.server), self._address, logs / "broker.log")
        self._note("broker", broker)
        with (logs / "worker.log").open("ab") as output:
            worker = subprocess.Popen(
                self._plan.worker_command,
                env={**os.environ, **self._plan.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                process_group=0,
                preexec_fn=die_with_parent(),  # noqa: PLW1509 - one prctl; no other thread holds a lock
            )
        self._note("worker", worker)
        self._worker_group = worker.pid
        _tell(event="ready", broker_pid=broker.pid, worker_pid=worker.pid)

    def _note(self, name: str, process: subprocess.Popen[bytes]) -> None:
        self._alive[process.pid] = name
        self._started.append(process)

    def _watch(self) -> None:
        """Returns when the owner is gone, or has closed its end, or a signal asks for the end."""
        owner = sys.stdin.fileno()
        while True:
            readable, _, _ = select.select([owner, self._wake], [], [])
            if owner in readable or _END_SIGNALS & set(self._signals()):
                return
            self._reap()

    def _signals(self) -> bytes:
        """Numbers of the signals that arrived since the last look."""
        try:
            return os.read(self._wake, 4096)
        except BlockingIOError:
            return b""

    def _reap(self) -> bool:
        """Take the ended children, tell the owner of ours. True while any child is left."""
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                name = self._alive.pop(ended[0], None)
                if name == "worker":
                    self._kill_group()
                if name is not None:
                    _tell(event="ended", name=name, code=os.waitstatus_to_exitcode(ended[1]))
            return True
        return False

    def _end(self) -> None:
        """Kill all, those too whose parent we were not, and remove the folder.

        Nobody is asked to end first. What a worker committed is in the broker, which goes too; what it had begun
        is done again or no longer wanted; and an idle Celery worker takes 2.2 to 2.7 s over a polite end (5.7.0).
        """
        self._kill_group()
        deadline = time.monotonic() + KILL_S
        while self._reap() and time.monotonic() < deadline:
            # Each death may hand us orphans of its own.
            for pid in {*self._alive, *_children()}:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            select.select([self._wake], [], [], _LOOK_S)
            self._signals()
        shutil.rmtree(self._address.folder, ignore_errors=True)

    def _kill_group(self) -> None:
        if self._worker_group is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._worker_group, signal.SIGKILL)


def _children() -> list[int]:
    """Pids of this process's children, adopted ones too; empty where the kernel doesn't tell (macOS)."""
    try:
        return [int(pid) for pid in Path("/proc/thread-self/children").read_text().split()]
    except OSError:
        return []


def _tell(**event: Any) -> None:
    """One line for the owner. It may be gone: then nobody needs to know."""
    with contextlib.suppress(BrokenPipeError):
        os.write(sys.stdout.fileno(), json.dumps(event).encode() + b"\n")


def main() -> None:
    line = sys.stdin.buffer.readline()
    if line.endswith(b"\n"):  # else the owner ended before it had said what to do
        Supervisor(Plan.from_line(line)).run()
