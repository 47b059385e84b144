"""A folder in; a broker and workers of a benchmark's own out, gone when the block ends."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from benchmarks import measure
from common.broker.connect import connect
from common.errors import ManyeyesError
from common.limits import HEARTBEAT_LIFE_S
from common.protocol import heartbeats
from producer.cluster import valkey

#: Seconds for a worker to load, or a run to get going.
START_S = 60.0
_LOOK_S = 0.02


@contextmanager
def broker(folder: Path) -> Iterator[str]:
    """The URL of one as `producer submit` starts it where no broker is configured."""
    with embedded_broker(folder) as (url, _):
        yield url


@contextmanager
def embedded_broker(folder: Path) -> Iterator[tuple[str, int]]:
    """(URL, pid) of the same."""
    address = valkey.Address.new()
    server = valkey.start(valkey.server_path(), address, folder / "broker.log")
    try:
        yield address.url, server.pid
    finally:
        server.kill()
        server.wait()
        shutil.rmtree(address.folder)


@contextmanager
def worker(
    folder: Path, url: str, options: Sequence[str], environment: dict[str, str], processes: int
) -> Iterator[subprocess.Popen[bytes]]:
    """One `worker start` with these options, once the broker knows of its processes. Its log is `worker.log`."""
    before = _live(url)
    with (folder / "worker.log").open("a") as log:
        started = subprocess.Popen(
            [measure.console_script("worker"), "start", *options, "-c", str(processes)],
            cwd=folder,
            env={**measure.environment(), "MANYEYES_ROOTS": "*", **environment, "MANYEYES_BROKER_URL": url},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        wait_for(lambda: _live(url) == before + processes or started.poll() is not None, "the worker")
        if started.poll() is not None:
            raise ManyeyesError(f"the worker has ended: {(folder / 'worker.log').read_text()[-500:]}")
        yield started
    finally:
        started.terminate()
        started.wait(HEARTBEAT_LIFE_S * 3)


def _live(url: str) -> int:
    with connect(url) as client:
        return len(heartbeats.live_processes(client))


def wait_for(
    condition: Callable[[], bool], what: str, child: subprocess.Popen[bytes] | None = None, patience_s: float = START_S
) -> None:
    """Raises ManyeyesError when it does not come true, or the child that should bring it about has ended."""
    deadline = time.monotonic() + patience_s
    while not condition():
        if child is not None and child.poll() is not None:
            raise ManyeyesError(f"waiting for {what}: `{child.args!r}` has ended with {child.returncode}")
        if time.monotonic() > deadline:
            raise ManyeyesError(f"waiting for {what}: it did not come within {patience_s:.0f} s")
        time.sleep(_LOOK_S)


def spread(numbers: list[float], digits: int = 2) -> str:
    return f"{median(numbers):.{digits}f} ({min(numbers):.{digits}f}-{max(numbers):.{digits}f})"
