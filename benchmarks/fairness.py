"""Two sizes of run in; what the small one waits behind the large one, and what that costs the large one, out.

One broker, one worker, and the detector of `make chaos`, which sleeps through each image: so the seconds hardly depend
on what else the machine does. The large run is paused while the small one runs alone, so that pairs interleave.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from benchmarks import clusters, machine, measure, pictures
from chaos import pictures as drawn
from chaos import plugin
from chaos.poisonable import NAME
from common.errors import ExitCode, ManyeyesError

#: Distinct images; the runs go through links to them.
_DRAWN = 500

console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)


@dataclass(frozen=True, slots=True)
class Small:
    """One small run, seconds from its command's start: to its first result on disk, to its command's end."""

    first_s: float
    end_s: float
    #: From the first shard's start to the last result, as the run's own images_per_s has it.
    span_s: float


@dataclass(frozen=True, slots=True)
class Pair:
    alone: Small
    behind: Small
    #: Images/s of the large run, undisturbed just before, and while the small one ran.
    before: float
    meanwhile: float

    @property
    def times_alone(self) -> float:
        return self.behind.end_s / self.alone.end_s


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where the runs go."""

    folder: Path
    environment: dict[str, str]

    def producer(self, *words: str) -> list[str]:
        return [measure.console_script("producer"), *words, "--output", str(self.folder / "large-runs")]


class Large:
    """The large run, which never ends here."""

    def __init__(self, cluster: Cluster, options: Sequence[str]) -> None:
        self._cluster = cluster
        command = cluster.producer("submit", "large", "--detector", NAME, *options)
        with (cluster.folder / "large.log").open("w") as log:
            self._process = subprocess.Popen(
                command, cwd=cluster.folder, env=_whole(cluster), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def progress(self) -> dict[str, Any]:
        if self._process.poll() is not None:
            raise ManyeyesError(f"the large run has ended: {(self._cluster.folder / 'large.log').read_text()[-500:]}")
        for path in (self._cluster.folder / "large-runs").glob("*/progress.json"):
            found: dict[str, Any] = json.loads(path.read_text())
            return found
        return {"stored": 0, "done": 0, "at": 0.0}

    def tell(self, verb: str) -> None:
        command = self._cluster.producer(verb, "latest")
        subprocess.run(command, cwd=self._cluster.folder, env=_whole(self._cluster), check=True, capture_output=True)

    def rate(self, during: Callable[[], None]) -> float:
        """Images/s while something else happens, by the owner's looks, one a second."""
        before = self._next_look()
        during()
        after = self._next_look()
        return float((after["done"] - before["done"]) / (after["at"] - before["at"]))

    def flow(self, seconds: float) -> None:
        """Wait until it has had results for that long: its shards have their full size, its window is full."""
        begun = self.progress()["stored"]
        clusters.wait_for(lambda: self.progress()["stored"] > begun, "the large run's results")
        time.sleep(seconds)

    def end(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        self._process.wait()

    def _next_look(self) -> dict[str, Any]:
        last = self.progress()["at"]
        clusters.wait_for(lambda: self.progress()["at"] > last, "the large run's owner")
        return self.progress()


def small(cluster: Cluster) -> Small:
    output = cluster.folder / "small-runs"
    command = [measure.console_script("producer"), "submit", "small", "--detector", NAME, "--json"]
    command += ["--output", str(output)]
    has_result = lambda: any(journal.stat().st_size for journal in output.glob("*/journal.bin"))  # noqa: E731
    ran = measure.run(command, cluster.folder, has_result, (ExitCode.OK,), **cluster.environment)
    shutil.rmtree(output)
    said = json.loads(ran.out)
    first = ran.whole_s if ran.first is None else ran.first - ran.started
    return Small(round(first, 2), round(ran.whole_s, 2), round(said["items"] / said["images_per_s"], 2))


def pair(cluster: Cluster, large: Large, settle_s: float) -> Pair:
    large.tell("pause")
    # The shards that its processes held are given up within a second.
    time.sleep(2)
    alone = small(cluster)
    large.tell("unpause")
    large.flow(settle_s)
    before = large.rate(lambda: time.sleep(settle_s))
    behind: list[Small] = []
    meanwhile = large.rate(lambda: behind.append(small(cluster)))
    return Pair(alone, behind[0], round(before, 2), round(meanwhile, 2))


@contextmanager
def cluster_of(processes: int, pace_s: float, folder: Path) -> Iterator[Cluster]:
    pace = folder / "pace"
    pace.write_text(str(pace_s))
    environment = plugin.install(folder / "plugin", pace)
    with (
        clusters.broker(folder) as url,
        clusters.worker(folder, url, ["--detector", NAME], environment, processes),
    ):
        yield Cluster(folder, {**environment, "MANYEYES_BROKER_URL": url})


def _whole(cluster: Cluster) -> dict[str, str]:
    return {**measure.environment(), **cluster.environment}


def _table(pairs: list[Pair]) -> Table:
    table = Table(title="the small run, medians (least to most)")
    for column in ("", "first result s", "command s", "span s"):
        table.add_column(column, justify="right" if column else "left")
    for name, runs in (("alone", [one.alone for one in pairs]), ("behind", [one.behind for one in pairs])):
        cells = ([run.first_s for run in runs], [run.end_s for run in runs], [run.span_s for run in runs])
        table.add_row(name, *map(clusters.spread, cells))
    return table


def fairness(  # noqa: PLR0913, PLR0917 - each is one option of the command line
    images: Annotated[int, typer.Option(min=1, help="Images of the small run.")] = 100,
    large: Annotated[int, typer.Option(min=1, help="Images of the large run.")] = 100_000,
    pace: Annotated[float, typer.Option(min=0, help="Seconds that one image takes.")] = 0.02,
    repeat: Annotated[int, typer.Option(min=1, help="Pairs: alone, then behind.")] = 5,
    processes: Annotated[int, typer.Option(min=0, help="Pool processes; 0: one a core.")] = 0,
    settle: Annotated[float, typer.Option(min=1, help="Seconds that the large run flows before it is disturbed.")] = 10,
    option: Annotated[list[str] | None, typer.Option(help="A word for the large run's `submit`; repeatable.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """A small run alone, then behind a large one on the same workers: first result, end, the large one's slowdown."""
    facts = machine.describe()
    folder = Path(tempfile.mkdtemp(prefix="manyeyes-fairness-"))
    try:
        drawn.make(folder / "drawn", _DRAWN, 1, [])
        pictures.repeat([folder / "drawn"], images, folder / "small")
        pictures.repeat([folder / "drawn"], large, folder / "large")
        with cluster_of(processes or machine.cores(), pace, folder) as cluster:
            big = Large(cluster, option or [])
            try:
                big.flow(settle)
                pairs = [pair(cluster, big, settle) for _ in range(repeat)]
            finally:
                big.end()
    finally:
        shutil.rmtree(folder)
    if as_json:
        print(json.dumps({"machine": asdict(facts), "pairs": [asdict(one) for one in pairs]}))
        return
    console.print(f"{facts.sentence()}, load {facts.load}")
    console.print(_table(pairs))
    console.print(f"behind / alone, the whole command: {clusters.spread([one.times_alone for one in pairs])}")
    slower = [one.meanwhile / one.before for one in pairs]
    console.print(f"the large run meanwhile, of its own speed: {clusters.spread(slower)}")


if __name__ == "__main__":
    os.environ.pop("MANYEYES_BROKER_URL", None)
    typer.run(fairness)
