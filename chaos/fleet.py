"""A number of workers in, real `worker start` processes out, each started again whenever it has ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from chaos.poisonable import NAME
from producer.cluster.prctl import die_with_parent

#: Pool processes a worker.
PROCESSES = 2
#: Seconds from a worker's end to its next start, as a service manager has it.
RESTART_S = 1.0
#: Seconds in which a worker that was told to end must have ended.
GRACE_S = 30.0


@dataclass(frozen=True, slots=True)
class Serving:
    """How every worker is started."""

    #: Its URL, or a file that has it.
    broker: str
    environment: dict[str, str]
    logs: Path
    options: tuple[str, ...] = ()


@dataclass(slots=True)
class Worker:
    """One worker's place: the process that fills it changes."""

    number: int
    serving: Serving
    process: subprocess.Popen[bytes] | None = None
    #: Why its end, when it comes, is no surprise; empty where nobody asked for it.
    asked: str = ""
    told_at: float = 0.0
    _ended: float = 0.0
    surprises: list[str] = field(default_factory=list)

    @property
    def log(self) -> Path:
        return self.serving.logs / f"worker-{self.number}.log"

    def start(self) -> None:
        command = [sys.executable, "-m", "worker.cli", "start", "--detector", NAME, "-c", str(PROCESSES)]
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [*command, "--broker", self.serving.broker, *self.serving.options],
                cwd=self.serving.logs,
                env={**os.environ, **self.serving.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                process_group=0,
                preexec_fn=die_with_parent(),  # noqa: PLW1509 - one prctl; no other thread holds a lock
            )

    def pool(self) -> list[psutil.Process]:
        """Its pool processes that run."""
        if self.process is None:
            return []
        with contextlib.suppress(psutil.NoSuchProcess):
            return [child for child in psutil.Process(self.process.pid).children() if runs(child.pid)]
        return []

    def signal_group(self, number: signal.Signals) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def end(self, why: str) -> None:
        """Ask it to end, as a service manager does."""
        self.asked, self.told_at = why, time.monotonic()
        if self.process is not None:
            self.process.terminate()

    def tick(self) -> None:
        """Start it again a moment after its end; a worker that will not end when told is a finding."""
        now = time.monotonic()
        if self.process is None:
            if now >= self._ended + RESTART_S:
                self.start()
            return
        if self.told_at and self.process.poll() is None and now > self.told_at + GRACE_S:
            self.surprises.append(f"worker {self.number} did not end within {GRACE_S:g} s of TERM")
            self.signal_group(signal.SIGKILL)
        if self.process.poll() is not None:
            if not self.asked:
                self.surprises.append(f"worker {self.number} ended by itself with {self.process.returncode}")
            # Whatever it left: orphans are no part of its next life.
            self.signal_group(signal.SIGKILL)
            self.process, self.asked, self.told_at, self._ended = None, "", 0.0, now


class Fleet:
    """All workers."""

    def __init__(self, workers: int, serving: Serving) -> None:
        self.workers = [Worker(number, serving) for number in range(1, workers + 1)]
        for worker in self.workers:
            worker.start()

    @property
    def processes(self) -> int:
        return PROCESSES * len(self.workers)

    def tick(self) -> None:
        for worker in self.workers:
            worker.tick()

    def of_pid(self, pid: int) -> Worker | None:
        """Whose pool process that is."""
        with contextlib.suppress(psutil.NoSuchProcess):
            parent = psutil.Process(pid).ppid()
            return next((one for one in self.workers if one.process and one.process.pid == parent), None)
        return None

    def restart(self) -> None:
        self.close()
        for worker in self.workers:
            worker.asked, worker.told_at = "", 0.0
            worker.start()

    def close(self) -> None:
        for worker in self.workers:
            worker.signal_group(signal.SIGCONT)
            worker.end("the storm is over")
        deadline = time.monotonic() + GRACE_S
        for worker in self.workers:
            if worker.process is not None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    worker.process.wait(max(deadline - time.monotonic(), 0.1))
                worker.signal_group(signal.SIGKILL)
                worker.process.wait()


def runs(pid: int) -> bool:
    """False for one that is gone, stopped, or only waits to be reaped."""
    try:
        status = psutil.Process(pid).status()
    except psutil.NoSuchProcess:
        return False
    return status not in (psutil.STATUS_ZOMBIE, psutil.STATUS_STOPPED, psutil.STATUS_DEAD)
