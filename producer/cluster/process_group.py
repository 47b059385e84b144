"""Commands in, their processes out: each is named when it ends, and nothing below them stays when all are killed.

What the embedded cluster's supervisor and the hub's keeper have in common. One thread, standard library only.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from producer.cluster.prctl import adopt_orphans, die_with_parent

#: Seconds. A killed process is gone in milliseconds, unless the kernel holds it in a disk or network wait.
KILL_S = 5.0
#: Seconds. The longest between two looks at who is left, while killing.
_LOOK_S = 0.05
#: Signals at which everything ends.
END_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})


@dataclass(frozen=True, slots=True)
class Ended:
    """One of ours, and its exit code; negative: the signal that killed it."""

    name: str
    code: int


class Children:
    """The processes that this one has started. Each leads a group of its own, and dies with us on Linux."""

    def __init__(self) -> None:
        adopt_orphans()
        #: Names by pid, until each has ended.
        self.alive: dict[int, str] = {}
        #: Groups of those that were started; what they have left in there goes with them.
        self._groups: set[int] = set()
        #: Only held: a forgotten Popen would take its child's exit status before `reap` does.
        self._started: dict[int, subprocess.Popen[bytes]] = {}
        # Signals wake `select` through a pipe: none can be missed between a look and a wait.
        self._wake, wake_end = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(wake_end, False)
        signal.set_wakeup_fd(wake_end)
        for number in (*END_SIGNALS, signal.SIGCHLD):
            # A handler, not SIG_IGN: what is ignored here would be ignored in the children too.
            signal.signal(number, lambda *_: None)

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path) -> int:
        """The pid. `environment` is added to this process's own; what it says is appended to `log`. Raises OSError."""
        with log.open("ab") as output:
            process = subprocess.Popen(
                command,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                process_group=0,
                preexec_fn=die_with_parent(),  # noqa: PLW1509 - one prctl; no other thread holds a lock
            )
        return self.note(name, process)

    def note(self, name: str, process: subprocess.Popen[bytes]) -> int:
        """One that was started elsewhere, at the head of its own group."""
        self.alive[process.pid] = name
        self._groups.add(process.pid)
        self._started[process.pid] = process
        return process.pid

    def wait(self, seconds: float | None, *inputs: int) -> tuple[list[int], set[int]]:
        """Until one of the inputs can be read, a signal comes, or the time is over: the inputs, and the signals."""
        readable, _, _ = select.select([self._wake, *inputs], [], [], seconds)
        try:
            signals = set(os.read(self._wake, 4096))
        except BlockingIOError:
            signals = set()
        return [fd for fd in readable if fd != self._wake], signals

    def reap(self) -> tuple[list[Ended], bool]:
        """Those of ours that have ended since the last look, and whether any child is left, adopted ones too."""
        ended: list[Ended] = []
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return ended, False
            if not pid:
                return ended, True
            if pid in self.alive:
                self._kill_group(pid)
                self._started.pop(pid).returncode = os.waitstatus_to_exitcode(status)
                ended.append(Ended(self.alive.pop(pid), os.waitstatus_to_exitcode(status)))

    def kill(self) -> list[Ended]:
        """All, those too whose parent we were not. Nobody is asked to end first."""
        for group in tuple(self._groups):
            self._kill_group(group)
        ended: list[Ended] = []
        deadline = time.monotonic() + KILL_S
        while time.monotonic() < deadline:
            more, left = self.reap()
            ended += more
            if not left:
                break
            # Each death may hand us orphans of its own.
            for pid in {*self.alive, *_children()}:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.wait(_LOOK_S)
        return ended

    def _kill_group(self, group: int) -> None:
        self._groups.discard(group)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


def isolated(module: str, *arguments: str) -> list[str]:
    """The command that runs a module's `main`.

    Isolated and without site-packages: half the start-up time, and no variable of the user's can change it.
    """
    code = f"import sys; sys.path.append(sys.argv[1]); from {module} import main; main()"
    return [sys.executable, "-I", "-S", "-B", "-c", code, str(Path(__file__).parents[2]), *arguments]


def ending(code: int) -> str:
    """An exit code in words."""
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _children() -> list[int]:
    """Pids of this process's children, adopted ones too; empty where the kernel doesn't tell (macOS)."""
    try:
        return [int(pid) for pid in Path("/proc/thread-self/children").read_text().split()]
    except OSError:
        return []
