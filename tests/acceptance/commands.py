"""The real command line, as a user types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

#: The console scripts lie beside the interpreter that runs the tests.
BIN = Path(sys.executable).parent
#: Seconds. Far more than any of these runs takes.
LIMIT_S = 240


@dataclass(frozen=True, slots=True)
class Said:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads(self.out)
        return data

    @property
    def error(self) -> str:
        """The one line by which it failed."""
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, self.err
        return lines[0].removeprefix("error: ")


def environment(**extra: str) -> dict[str, str]:
    return {**os.environ, "COLUMNS": "200", **extra}


def start(program: str, *arguments: object, cwd: Path, **extra: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [BIN / program, *map(str, arguments)],
        cwd=cwd,
        env=environment(**extra),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> Said:
    out, err = process.communicate(timeout=LIMIT_S)
    return Said(process.returncode, out, err)


def producer(*arguments: object, cwd: Path, **extra: str) -> Said:
    return finish(start("producer", *arguments, cwd=cwd, **extra))


def only_run(cwd: Path) -> Path:
    [run] = (cwd / "runs").iterdir()
    return run


def marked(mark: str) -> list[psutil.Process]:
    """Live processes that were started with this mark in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("MANYEYES_TEST_MARK") == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found
