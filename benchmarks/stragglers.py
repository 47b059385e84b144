"""Two workers of uneven speed in; when a run over both ends, beside the ideal for their joint speed, out.

One broker, two workers of one process, and the detector of `make chaos`, which sleeps through each image: so a worker
is as slow as its pace file says, and the seconds hardly depend on what else the machine does.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import pyarrow.parquet as pq
import typer
from rich.console import Console
from rich.table import Table

from benchmarks import clusters, machine, measure, pictures
from chaos import pictures as drawn
from chaos import plugin
from chaos.poisonable import NAME, PACE
from common import atomic_files
from common.errors import ExitCode

#: Distinct images; the runs go through links to them.
_DRAWN = 500
#: Of the images, when the sick machine falls sick.
_SICK_AT = 0.9
#: The producer, but its bound on second attempts is none.
_WITHOUT = "import common.limits as l; l.MAX_SECOND_ATTEMPTS = 0; from producer.cli.entry import main; main()"

console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)


@dataclass(frozen=True, slots=True)
class Scenario:
    name: str
    #: Times slower than the first worker the second is from the start, and becomes near the end.
    slower: float
    sick: float | None = None
    second_attempts: bool = True


@dataclass(frozen=True, slots=True)
class Ended:
    """Seconds."""

    scenario: str
    images: int
    #: From the first shard's start to the last result, and of the whole command.
    span_s: float
    command_s: float
    #: By the images/s of each process while it worked; of a machine that falls sick, by that from then on.
    ideal_s: float
    sent_again: dict[str, int]


@dataclass(frozen=True, slots=True)
class Cluster:
    folder: Path
    environment: dict[str, str]

    def pace(self, worker: str, seconds: float) -> None:
        with atomic_files.atomic_file(self.folder / f"{worker}.pace") as file:
            file.write(str(seconds).encode())


@contextmanager
def cluster_of(folder: Path, *workers: str) -> Iterator[Cluster]:
    with ExitStack() as stack:
        url = stack.enter_context(clusters.broker(folder))
        cluster = Cluster(folder, {**plugin.install(folder / "plugin", folder), "MANYEYES_BROKER_URL": url})
        for name in workers:
            cluster.pace(name, 0.01)
            environment = {**cluster.environment, PACE: str(folder / f"{name}.pace")}
            stack.enter_context(clusters.worker(folder, url, ["--detector", NAME], environment, 1))
        yield cluster


class _Sickness:
    """Looks at the run, and makes the second worker sick once most of it is done."""

    def __init__(self, cluster: Cluster, images: int, pace_s: float, factor: float) -> None:
        self._cluster, self._images, self._pace_s, self._factor = cluster, images, pace_s, factor
        #: An instant, and the seconds that both need from then on for what is left.
        self.at: float | None = None
        self.left_s = 0.0

    def look(self) -> bool:
        for path in self._cluster.folder.glob("runs/*/progress.json"):
            progress = json.loads(path.read_text())
            if self.at is None and progress["done"] >= _SICK_AT * self._images:
                self._cluster.pace("second", self._pace_s * self._factor)
                self.at = time.time()
                # The owner has looked up to a second ago: both were well since.
                left = self._images - progress["done"] - (self.at - progress["at"]) * 2 / self._pace_s
                self.left_s = left / (1 / self._pace_s + 1 / (self._pace_s * self._factor))
        return False


def once(cluster: Cluster, scenario: Scenario, images: int, pace_s: float) -> Ended:
    cluster.pace("first", pace_s)
    cluster.pace("second", pace_s * scenario.slower)
    sickness = _Sickness(cluster, images, pace_s, scenario.sick) if scenario.sick else None
    producer = [measure.console_script("producer")] if scenario.second_attempts else [sys.executable, "-c", _WITHOUT]
    command = [*producer, "submit", "images", "--limit", str(images), "--detector", NAME, "--json"]
    look = sickness.look if sickness else None
    ran = measure.run(command, cluster.folder, look, (ExitCode.OK,), **cluster.environment)
    run_dir = cluster.folder / json.loads(ran.out)["run_dir"]
    figures: dict[str, Any] = json.loads((run_dir / "timings.json").read_text())
    if sickness and sickness.at is not None:
        begun = pq.read_table(run_dir / "timings.parquet", columns=["started"])["started"].to_numpy().min()
        ideal_s = sickness.at - float(begun.astype("datetime64[us]").astype(int)) / 1e6 + sickness.left_s
    else:
        ideal_s = images / sum(one["images"] / one["busy_s"] for one in figures["processes"])
    shutil.rmtree(cluster.folder / "runs")
    span_s, again = figures["span_s"], figures["sent_again"]
    return Ended(scenario.name, images, round(span_s, 2), round(ran.whole_s, 2), round(ideal_s, 2), again)


def _table(all_ended: list[Ended]) -> Table:
    table = Table()
    for column in ("", "images", "span s", "ideal s", "over ideal s", "over ideal", "command s", "sent again"):
        table.add_column(column, justify="right" if column else "left")
    for one in all_ended:
        over_s, again = one.span_s - one.ideal_s, ", ".join(f"{n} {why}" for why, n in one.sent_again.items())
        numbers = (f"{one.span_s:.1f}", f"{one.ideal_s:.1f}", f"{over_s:.1f}", f"{over_s / one.ideal_s:.1%}")
        table.add_row(one.scenario, f"{one.images:,}", *numbers, f"{one.command_s:.1f}", again or "none")
    return table


def stragglers(
    slower: Annotated[float, typer.Option(min=1, help="Times slower the second worker is, from the start.")] = 4,
    sick: Annotated[float, typer.Option(min=1, help="Times slower the second of two equal ones becomes.")] = 50,
    seconds: Annotated[float, typer.Option(min=1, help="What a run should take both.")] = 125,
    pace: Annotated[float, typer.Option(min=0.001, help="Seconds that one image takes the first worker.")] = 0.05,
    repeat: Annotated[int, typer.Option(min=1, help="Rounds.")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """One of two workers is slow from the start, or falls sick when nine tenths are done: the end beside the ideal."""
    facts = machine.describe()
    scenarios = [
        Scenario(f"{slower:g} times slower", slower),
        Scenario(f"{sick:g} times slower at the end", 1, sick),
        Scenario(f"{sick:g} times slower at the end, no second attempts", 1, sick, second_attempts=False),
    ]
    folder = Path(tempfile.mkdtemp(prefix="manyeyes-stragglers-"))
    try:
        drawn.make(folder / "drawn", _DRAWN, 1, [])
        pictures.repeat([folder / "drawn"], int(seconds * 2 / pace), folder / "images")
        ended = []
        with cluster_of(folder, "first", "second") as cluster:
            for _ in range(repeat):
                for scenario in scenarios:
                    images = int(seconds / pace * (1 + 1 / scenario.slower))
                    ended.append(once(cluster, scenario, images, pace))
                    print(ended[-1], file=sys.stderr, flush=True)
    finally:
        shutil.rmtree(folder)
    if as_json:
        print(json.dumps({"machine": asdict(facts), "runs": [asdict(one) for one in ended]}))
        return
    console.print(f"{facts.sentence()}, load {facts.load}")
    console.print(_table(ended))


if __name__ == "__main__":
    os.environ.pop("MANYEYES_BROKER_URL", None)
    typer.run(stragglers)
