"""A command in; its wall time, the instant of its first result and its memory out."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from common.errors import ExitCode, ManyeyesError

#: Seconds between looks for a first result: a stat or two.
FIRST_LOOK_S = 0.02
#: Seconds between looks at the memory of all processes, about a millisecond each time.
MEMORY_LOOK_S = 0.25
#: The checkout: children find `benchmarks` there, whatever folder they run in.
_ROOT = Path(__file__).parents[1]
#: Settings of the user's that are not about the measured run.
_KEPT = ("MANYEYES_CACHE", "MANYEYES_MODEL_MIRROR")


@dataclass(frozen=True, slots=True)
class Ran:
    """Seconds; instants on the monotonic clock; bytes of resident memory, shared pages counted in each process."""

    started: float
    whole_s: float
    #: When `is_there` first said so.
    first: float | None
    #: The largest that any one process grew to, and the most that all of them held at once.
    largest_rss: int
    all_rss: int
    out: str


def run(
    command: Sequence[str],
    cwd: Path,
    is_there: Callable[[], bool] | None = None,
    fine: Sequence[int] = (ExitCode.OK,),
    **extra: str,
) -> Ran:
    """Run the command, with `extra` in its environment, to its end.

    Raises ManyeyesError, with its last words, for another exit code than `fine`.
    """
    memory = _Memory()
    first: float | None = None
    next_look = 0.0
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        started = time.monotonic()
        child = subprocess.Popen(
            command, cwd=cwd, env={**environment(), **extra}, stdin=subprocess.DEVNULL, stdout=out, stderr=err
        )
        try:
            while child.poll() is None:
                if first is None and is_there is not None and is_there():
                    first = time.monotonic()
                if time.monotonic() >= next_look:
                    memory.look(child.pid)
                    next_look = time.monotonic() + MEMORY_LOOK_S
                _wait(child)
            whole_s = time.monotonic() - started
        finally:
            _end(child)
        out.seek(0)
        err.seek(0)
        if child.returncode not in fine:
            words = " ".join(err.read().strip().splitlines()[-3:])
            raise ManyeyesError(f"`{' '.join(command)}` ended with {child.returncode}: {words}")
        return Ran(started, whole_s, first, memory.largest, memory.together, out.read())


def environment() -> dict[str, str]:
    """Ours without the user's own choices, and one thread for every library in every variant."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT or not name.startswith(("MANYEYES_", "CELERY_", "RAY_"))
    }
    path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
    return {
        **kept,
        **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
        "PYTHONPATH": path,
        "RAY_USAGE_STATS_ENABLED": "0",
    }


def console_script(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def _wait(child: subprocess.Popen[bytes]) -> None:
    """Until the next look or the child's end, so that the wall time is right to some milliseconds."""
    try:
        child.wait(FIRST_LOOK_S)
    except subprocess.TimeoutExpired:
        return


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.terminate()
        child.wait()


class _Memory:
    """What has been seen of a process and its descendants."""

    def __init__(self) -> None:
        self.largest = self.together = 0

    def look(self, pid: int) -> None:
        sizes = []
        try:
            top = psutil.Process(pid)
            for process in (top, *top.children(recursive=True)):
                try:
                    sizes.append(process.memory_info().rss)
                except psutil.Error:
                    continue
        except psutil.Error:
            return
        self.largest = max(self.largest, *sizes, 0)
        self.together = max(self.together, sum(sizes))
