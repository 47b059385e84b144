"""Failovers in the middle of a run in; how soon it goes on, which workers end, and whether a byte differs, out.

The broker is made a replica for 12 s and a master again, in three ways by turns: of an address where nobody answers, of
an empty server (all that it knew is wiped), and of its own replica, which was promoted.
"""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import redis
import typer
from rich.console import Console
from rich.table import Table

from benchmarks import clusters, machine, measure
from chaos import pictures, plugin, receipt
from chaos.poisonable import NAME
from common import atomic_files
from common.errors import ManyeyesError
from producer.cluster import valkey
from producer.rundir.run_directory import RunDir

#: Seconds that an image takes, and images a shard, so that results come often.
_PACE_S, _SHARD = 0.1, 8
#: Images looked at between two failovers, and seconds for the run to go on.
_BETWEEN, _PATIENCE_S = 160, 60.0
_PASSWORD = "failover"
WAYS = ("nobody", "empty", "promoted")

console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)


@dataclass(frozen=True, slots=True)
class Failover:
    """Seconds from its end until a further result is on disk, and until what was not begun before is."""

    way: str
    next_s: float
    fresh_s: float


@contextmanager
def server(folder: Path) -> Iterator[redis.Redis]:
    """An empty one on a port of its own, with a client for its administrator."""
    folder.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    login = [*valkey.password(_PASSWORD), f"primaryauth {_PASSWORD}", "repl-diskless-sync-delay 0"]
    process = valkey.spawn(valkey.server_path(), valkey.durable("127.0.0.1", port, login, folder), folder / "log")
    try:
        clusters.wait_for(lambda: valkey.answers(("127.0.0.1", port), _PASSWORD), "a server")
        yield redis.Redis(port=port, password=_PASSWORD)
    finally:
        process.kill()
        process.wait()


def _port(client: redis.Redis) -> int:
    return int(client.connection_pool.connection_kwargs["port"])


def demote(broker: redis.Redis, other: redis.Redis, way: str, seconds: float) -> None:
    """Returns when it is a master again."""
    if way == "promoted":
        other.replicaof("127.0.0.1", _port(broker))
        clusters.wait_for(lambda: _info(other)["master_link_status"] == "up", "the replica")
    other.replicaof("NO", "ONE")
    if way == "empty":
        other.flushall()
    broker.replicaof("127.0.0.1", 1 if way == "nobody" else _port(other))
    time.sleep(seconds)
    broker.replicaof("NO", "ONE")


def _info(client: redis.Redis) -> dict[str, Any]:
    found: dict[str, Any] = client.info("replication")
    return found


class Run:
    """One `producer submit`, watched by what it has on disk."""

    def __init__(self, folder: Path, environment: dict[str, str], output: str) -> None:
        self._output = folder / output
        self._log = folder / f"{output}.log"
        command = [measure.console_script("producer"), "submit", "images", "--detector", NAME]
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [*command, "--shard-size", str(_SHARD), "--output", output],
                cwd=folder,
                env={**measure.environment(), **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def rundir(self) -> RunDir:
        [path] = self._output.iterdir()
        return RunDir(path)

    def stored(self) -> int:
        """Images whose rows are on disk, as of a second ago."""
        progress = self.rundir.progress() if self._output.exists() and any(self._output.iterdir()) else None
        return int(progress.get("stored", 0)) if progress else 0

    def bytes(self) -> int:
        return (self.rundir.path / "journal.bin").stat().st_size

    def finish(self) -> RunDir:
        if self.process.wait(_PATIENCE_S * 10) != 0:
            raise ManyeyesError(f"the run has ended with {self.process.returncode}: {self._log.read_text()[-500:]}")
        return self.rundir


def once(run: Run, broker: redis.Redis, other: redis.Redis, way: str, seconds: float, processes: int) -> Failover:
    begun = run.stored()
    clusters.wait_for(lambda: run.stored() >= begun + _BETWEEN, "work between two failovers", run.process)
    demote(broker, other, way, seconds)
    ended, size, stored = time.monotonic(), run.bytes(), run.stored()
    clusters.wait_for(lambda: run.bytes() > size, "a further result", run.process, _PATIENCE_S)
    following = time.monotonic() - ended
    # Each process has one shard in hand, and one waits for it.
    clusters.wait_for(lambda: run.stored() > stored + 2 * processes * _SHARD, "fresh work", run.process, _PATIENCE_S)
    return Failover(way, round(following, 2), round(time.monotonic() - ended, 2))


def failover(
    count: Annotated[int, typer.Option(min=1, help="Failovers in a row.")] = 10,
    seconds: Annotated[float, typer.Option(min=1, help="Of each.")] = 12.0,
    processes: Annotated[int, typer.Option(min=1, help="Pool processes.")] = 4,
    report: Annotated[Path, typer.Option(help="Where the figures go.")] = Path("bench-results/failover.json"),
) -> None:
    """A run of four processes, its broker's failovers, and the same run undisturbed.

    Example:  python -m benchmarks.failover --count 10
    """
    folder = Path(tempfile.mkdtemp(prefix="manyeyes-failover-"))
    found: list[Failover] = []
    try:
        pictures.make(folder / "images", (count + 1) * 4 * _BETWEEN, 1, [])
        environment = plugin.install(folder / "plugin", folder / "pace")
        plugin.set_pace(folder / "pace", _PACE_S)
        with server(folder / "a") as broker, server(folder / "b") as other:
            url = f"redis://:{_PASSWORD}@127.0.0.1:{_port(broker)}/0"
            with clusters.worker(folder, url, ["--detector", NAME], environment, processes) as worker:
                disturbed = Run(folder, {**environment, "MANYEYES_BROKER_URL": url}, "disturbed")
                for way in itertools.islice(itertools.cycle(WAYS), count):
                    found.append(once(disturbed, broker, other, way, seconds, processes))
                    console.print(asdict(found[-1]), "workers ended:", int(worker.poll() is not None))
                plugin.set_pace(folder / "pace", 0)
                stormy = disturbed.finish()
                quiet = Run(folder, {**environment, "MANYEYES_BROKER_URL": url}, "quiet").finish()
                agreed = receipt.compare(quiet, stormy)
                ended = worker.poll() is not None
    finally:
        shutil.rmtree(folder)
    facts = {"machine": asdict(machine.describe()), "seconds": seconds, "processes": processes}
    report.parent.mkdir(parents=True, exist_ok=True)
    atomic_files.write_json(
        report, {**facts, "worker_ended": ended, "receipt": asdict(agreed), "failovers": [asdict(one) for one in found]}
    )
    table = Table("way", "next result s", "fresh work s", title=f"{count} failovers of {seconds:g} s")
    for one in found:
        table.add_row(one.way, f"{one.next_s:.2f}", f"{one.fresh_s:.2f}")
    console.print(table)
    console.print(f"workers ended: {int(ended)}; same bytes: {'yes' if agreed.clean else agreed}")
    if ended or not agreed.clean or max(one.fresh_s for one in found) > 10:
        raise typer.Exit(1)


if __name__ == "__main__":
    os.environ.pop("MANYEYES_BROKER_URL", None)
    typer.run(failover)
