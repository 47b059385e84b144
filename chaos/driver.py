"""A dataset in, a finished run out: the real `producer`, resumed as often as it ends before its work does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from chaos.poisonable import NAME
from common.errors import ExitCode
from producer.cluster.prctl import die_with_parent
from producer.rundir.run_directory import RunDir, all_runs

#: Seconds from a producer's end to the next `resume`, as a patient user has it.
RESUME_S = 1.0
#: A run that has these codes has complete outputs.
FINISHED = (ExitCode.OK, ExitCode.SOME_FAILED)
#: What a user would have to do again anyway: no worker was there to be asked for the detector.
_NOBODY = "no worker serves"


@dataclass(slots=True)
class Driver:
    """Submits one dataset to one broker, and stays with it."""

    dataset: Path
    output: Path
    #: Its URL, or a file that has it.
    broker: str
    environment: dict[str, str]
    log: Path
    options: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    resumed: int = 0
    #: True once the run has ended with complete outputs.
    finished: bool = False
    #: Why its end, when it comes, is no surprise; empty where nobody asked for it.
    asked: str = ""
    surprises: list[str] = field(default_factory=list)
    _ended: float = 0.0

    @property
    def rundir(self) -> RunDir | None:
        runs = all_runs(self.output)
        return runs[0] if runs else None

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def submit(self) -> None:
        self._start("submit", str(self.dataset), "--detector", NAME, *self.options)

    def kill(self, how: signal.Signals) -> None:
        self.asked = how.name
        if self.process is not None:
            self.process.send_signal(how)

    def tick(self) -> None:
        """Resume a moment after an end that was not the run's."""
        if self.finished or self.running:
            return
        if self.process is None:
            if time.monotonic() >= self._ended + RESUME_S:
                self.resumed += 1
                self._start("resume", "latest")
            return
        code = self.process.returncode
        self.finished = code in FINISHED
        if not self.finished and not self.asked:
            line = self._last_error()
            if _NOBODY not in line:
                self.surprises.append(f"producer ended with {code}: {line}")
        self.process, self.asked, self._ended = None, "", time.monotonic()

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def _start(self, *words: str) -> None:
        # The interpreter's own: what a shell would find first may be another checkout's.
        command = [sys.executable, "-m", "producer.cli.app", *words]
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [*command, "--json", "--output", str(self.output), "--broker", self.broker],
                cwd=self.log.parent,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                process_group=0,
                preexec_fn=die_with_parent(),  # noqa: PLW1509 - one prctl; no other thread holds a lock
            )

    def _last_error(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        return next((line for line in reversed(lines) if line.startswith("error: ")), (lines or ["nothing said"])[-1])
