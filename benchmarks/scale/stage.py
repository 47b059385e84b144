"""A folder in; a broker, workers and a producer's command on a folder of one's own, ended with the block, out."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks import measure
from benchmarks.clusters import wait_for
from benchmarks.scale import nothing
from chaos import plugin
from common.broker.connect import connect
from common.limits import HEARTBEAT_LIFE_S
from common.protocol import heartbeats
from producer.cluster import valkey

_PASSWORD = "scale"


@contextmanager
def broker(folder: Path) -> Iterator[tuple[str, int]]:
    """(URL, pid) of a Valkey as `producer up` starts it: TCP (here on loopback only), append-only file."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    data = folder / "broker"
    data.mkdir()
    configuration = valkey.durable("127.0.0.1", port, valkey.password(_PASSWORD), data)
    server = valkey.spawn(valkey.server_path(), configuration, folder / "broker.log")
    try:
        wait_for(lambda: valkey.answers(("127.0.0.1", port), _PASSWORD), "the broker")
        yield f"redis://:{_PASSWORD}@127.0.0.1:{port}/0", server.pid
    finally:
        server.kill()
        server.wait()


def environment(folder: Path, url: str) -> dict[str, str]:
    """In which the detector that does nothing is known."""
    known = plugin.declare(folder / "plugin", "manyeyes-scale", {nothing.NAME: "benchmarks.scale.nothing:family"})
    return {**measure.environment(), **known, "MANYEYES_BROKER_URL": url, "MANYEYES_ROOTS": str(folder.parent)}


@contextmanager
def workers(folder: Path, url: str, env: dict[str, str], processes: int) -> Iterator[int]:
    """The pid of a real `worker start`, once all its processes live."""
    command = [measure.console_script("worker"), "start", "--detector", nothing.NAME, "-c", str(processes)]
    with started(command, folder, env, "worker") as worker:
        with connect(url) as client:
            wait_for(lambda: len(heartbeats.live_processes(client)) == processes, "the worker", worker)
        yield worker.pid


@contextmanager
def started(command: Sequence[str], folder: Path, env: dict[str, str], name: str) -> Iterator[subprocess.Popen[bytes]]:
    """A command that is told to end with the block; its words go to `name`.out and `name`.err."""
    with (folder / f"{name}.out").open("wb") as out, (folder / f"{name}.err").open("wb") as err:
        child = subprocess.Popen(command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
    try:
        yield child
    finally:
        if child.poll() is None:
            child.terminate()
        try:
            child.wait(HEARTBEAT_LIFE_S * 3)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def last_words(folder: Path, name: str) -> str:
    file = folder / f"{name}.err"
    return " ".join(file.read_text(errors="replace").strip().splitlines()[-3:]) if file.exists() else ""
