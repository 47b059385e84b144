"""Images in; how fast the same worker looks at them while Flower and `producer monitor` watch, and unwatched, out.

One broker, one worker with a real model, pairs of runs that interleave. Unobserved: workers and producer send no event
of any task, and neither Flower nor the monitor runs. Observed: as it is installed; Flower's page of workers is asked
once a second, as a browser that shows it does, and the metrics every few. All of it on one machine: what observing
costs is taken from the detector's cores.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import psutil
import requests
import typer
from rich.console import Console
from rich.table import Table

from benchmarks import clusters, machine, measure, pictures
from common import atomic_files
from common.broker.connect import celery_app
from common.errors import ManyeyesError
from producer.cluster.hub import addresses

LOGIN = ("bench", "bench")
#: Seconds between two looks of a browser at Flower's page of workers.
PAGE_S = 1.0
_ASK_S = 5.0

console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)


@dataclass(frozen=True, slots=True)
class Ran:
    """One run. `events`: of tasks, as Flower counted them. `cpu_s`: who used how much while it lasted."""

    images_per_s: float
    digest: str
    cpu_s: dict[str, float]
    events: int = 0

    @property
    def beside_s(self) -> float:
        """Seconds of CPU beside detection itself."""
        return sum(seconds for name, seconds in self.cpu_s.items() if name != "processes")


@dataclass(frozen=True, slots=True)
class Bench:
    folder: Path
    url: str
    detector: str
    scrape_s: float

    def submit(self, *command: str) -> Ran:
        options = ("submit", "images", "--detector", self.detector, "--json", "--format", "csv")
        said = json.loads(measure.run([*command, *options], self.folder, MANYEYES_BROKER_URL=self.url).out)
        run = self.folder / said["run_dir"]
        cpu_s = json.loads((run / "timings.json").read_text())["cpu_s"]
        shutil.rmtree(run)
        return Ran(said["images_per_s"], said["digest"], cpu_s)

    def unobserved(self) -> Ran:
        self._events("disable_events")
        return self.submit(sys.executable, "-m", "benchmarks.silent")

    def observed(self) -> Ran:
        self._events("enable_events")
        with ExitStack() as stack:
            flower = stack.enter_context(self._server("flower", self._flower))
            monitor = stack.enter_context(self._server("monitor", self._monitor))
            page = Asking(f"{flower.address}/workers?json=1", PAGE_S)
            scrape = Asking(f"{monitor.address}/metrics", self.scrape_s)
            before = flower.cpu_s, monitor.cpu_s
            for asking in (page, scrape):
                asking.start()
                stack.callback(asking.end)
            ran = self.submit(measure.console_script("producer"))
            if page.failed or scrape.failed:
                raise ManyeyesError(f"it was not observed: {page.failed or scrape.failed}")
            watching = {"flower": flower.cpu_s - before[0], "monitor": monitor.cpu_s - before[1]}
            return replace(ran, cpu_s={**ran.cpu_s, **watching}, events=flower.events)

    def _events(self, command: str) -> None:
        """Of tasks, at the worker: as `-E` or its absence, but with the same processes."""
        with celery_app(self.url) as app:
            if not app.control.broadcast(command, reply=True, timeout=_ASK_S, limit=1):
                raise ManyeyesError(f"the worker does not answer `{command}`")

    def _flower(self, port: int) -> list[str]:
        options = [f"--port={port}", f"--basic_auth={':'.join(LOGIN)}", f"--db={self.folder / 'flower'}"]
        return [measure.console_script("celery"), "-A", "worker.app", "flower", *options]

    def _monitor(self, port: int) -> list[str]:
        return [measure.console_script("producer"), "monitor", "--listen", f"127.0.0.1:{port}"]

    @contextmanager
    def _server(self, name: str, command: Callable[[int], Sequence[str]]) -> Iterator[Server]:
        port = addresses.free_port("127.0.0.1", 0)
        with (self.folder / f"{name}.log").open("a") as log:
            process = subprocess.Popen(
                command(port),
                cwd=self.folder,
                env={**measure.environment(), "MANYEYES_BROKER_URL": self.url},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        server = Server(process, f"http://127.0.0.1:{port}")
        try:
            clusters.wait_for(server.answers, name, process)
            yield server
        finally:
            process.terminate()
            process.wait()


@dataclass(frozen=True, slots=True)
class Server:
    process: subprocess.Popen[bytes]
    address: str

    def answers(self) -> bool:
        try:
            return ask(f"{self.address}/metrics").ok
        except requests.RequestException:
            return False

    @property
    def cpu_s(self) -> float:
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)

    @property
    def events(self) -> int:
        """Of Flower."""
        lines = ask(f"{self.address}/metrics").text.splitlines()
        of_tasks = [line for line in lines if line.startswith("flower_events_total{") and 'type="task-' in line]
        return sum(int(float(line.rpartition(" ")[2])) for line in of_tasks)


class Asking(threading.Thread):
    """A page, again and again."""

    def __init__(self, page: str, every_s: float) -> None:
        super().__init__(daemon=True)
        self._page, self._every_s = page, every_s
        self._ended = threading.Event()
        self.failed = ""

    def run(self) -> None:
        while not self._ended.wait(self._every_s):
            try:
                ask(self._page).raise_for_status()
            except requests.RequestException as error:
                self.failed = str(error)

    def end(self) -> None:
        self._ended.set()
        self.join()


def ask(page: str) -> requests.Response:
    return requests.get(page, auth=LOGIN, timeout=_ASK_S)


def cost(unobserved: Ran, observed: Ran) -> float:
    """Per cent of the throughput."""
    return 100 * (1 - observed.images_per_s / unobserved.images_per_s)


def more_cpu(unobserved: Ran, observed: Ran) -> float:
    """Per cent of the detector's own CPU time that is spent beside it."""
    return 100 * (observed.beside_s - unobserved.beside_s) / unobserved.cpu_s["processes"]


def _table(runs: dict[str, list[Ran]]) -> Table:
    table = Table(title="medians (least to most); right of the events, seconds of CPU")
    names = {name: None for ran in runs.values() for one in ran for name in one.cpu_s}
    for column in ("", "images/s", "events of tasks", *names):
        table.add_column(column, justify="right" if column else "left")
    for way, ran in runs.items():
        table.add_row(
            way,
            clusters.spread([one.images_per_s for one in ran]),
            clusters.spread([one.events for one in ran], 0),
            *(clusters.spread([one.cpu_s.get(name, 0.0) for one in ran]) for name in names),
        )
    return table


def observing(
    images: Annotated[list[Path], typer.Option(help="A folder of images; repeatable.")],
    detector: Annotated[str, typer.Option(help="NAME or PATH.")] = "hog",
    count: Annotated[int, typer.Option(min=1, help="Images a run: links, again from the first at the end.")] = 3000,
    repeat: Annotated[int, typer.Option(min=1, help="Pairs.")] = 7,
    processes: Annotated[int, typer.Option(min=0, help="Pool processes; 0: one a core.")] = 0,
    scrape: Annotated[float, typer.Option(min=0.1, help="Seconds between two scrapes of the metrics.")] = 5.0,
    report: Annotated[Path, typer.Option(help="Where the figures go.")] = Path("bench-results/observing.json"),
) -> None:
    """The same images with nobody looking, and with Flower and `producer monitor` looking, on one machine.

    Example:  python -m benchmarks.observing --images photos/ --detector yolox_nano.onnx
    """
    facts = machine.describe()
    folder = Path(tempfile.mkdtemp(prefix="manyeyes-observing-"))
    model = str(Path(detector).absolute()) if Path(detector).is_file() else detector
    runs: dict[str, list[Ran]] = {"unobserved": [], "observed": []}
    try:
        pictures.repeat(images, count, folder / "images")
        with (
            clusters.broker(folder) as url,
            clusters.worker(folder, url, ["--detector", model, "--remote-control"], {}, processes or machine.cores()),
        ):
            bench = Bench(folder, url, model, scrape)
            ways = [("unobserved", bench.unobserved), ("observed", bench.observed)]
            bench.unobserved()
            for _ in range(repeat):
                for way, run in ways:
                    runs[way].append(run())
                # A machine that grows slower or faster must favour neither.
                ways.reverse()
    finally:
        shutil.rmtree(folder)
    assert len({one.digest for ran in runs.values() for one in ran}) == 1, "the tables differ"
    assert all(one.events for one in runs["observed"]), "no event came"
    found = {way: [asdict(one) for one in ran] for way, ran in runs.items()}
    pairs = list(zip(runs["unobserved"], runs["observed"], strict=True))
    costs = [cost(*pair) for pair in pairs]
    more = [more_cpu(*pair) for pair in pairs]
    report.parent.mkdir(parents=True, exist_ok=True)
    of_all = {"machine": asdict(facts), "images": count, "scrape_s": scrape, "cost_percent": costs, "cpu_percent": more}
    atomic_files.write_json(report, {**of_all, **found})
    console.print(f"{facts.sentence()}, load {facts.load}")
    console.print(_table(runs))
    console.print(f"observing costs, pair by pair: {clusters.spread(costs)} % of the images/s")
    console.print(f"and takes {clusters.spread(more)} % of the detector's CPU time more")


if __name__ == "__main__":
    os.environ.pop("MANYEYES_BROKER_URL", None)
    typer.run(observing)
