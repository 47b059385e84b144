"""Images in; how fast the same worker looks at them when it reads the files, and when their bytes come by Redis, out.

One broker, one worker with a real model, pairs of runs that interleave: `--transport path`, then `redis`. All of it on
one machine, so what shipping costs the owner and the broker is taken from the detector's cores.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks import clusters, machine, measure, pictures
from common import atomic_files
from common.broker.connect import connect

#: Seconds between looks at the broker's memory.
_LOOK_S = 0.05

console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)


@dataclass(frozen=True, slots=True)
class Ran:
    """One run. Bytes: what the broker held at most, beyond what it held before."""

    images_per_s: float
    digest: str
    redis_bytes: int
    producer_cpu_s: float
    broker_cpu_s: float


class Memory(threading.Thread):
    """The most that the broker has held."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self._client = connect(url)
        self._ended = threading.Event()
        self._before = self._used()
        self.most = 0

    def _used(self) -> int:
        return int(self._client.info("memory")["used_memory"])

    def run(self) -> None:
        while not self._ended.wait(_LOOK_S):
            self.most = max(self.most, self._used() - self._before)

    def end(self) -> None:
        self._ended.set()
        self.join()
        self._client.close()


@contextmanager
def watched(url: str) -> Iterator[Memory]:
    memory = Memory(url)
    memory.start()
    try:
        yield memory
    finally:
        memory.end()


def once(folder: Path, url: str, detector: str, way: str, window: int) -> Ran:
    command = [measure.console_script("producer"), "submit", "images", "--detector", detector, "--json"]
    command += ["--transport", way, "--ship-window", str(window), "--format", "csv"]
    with watched(url) as memory:
        said = json.loads(measure.run(command, folder, MANYEYES_BROKER_URL=url).out)
    timings = json.loads((folder / said["run_dir"] / "timings.json").read_text())
    shutil.rmtree(folder / said["run_dir"])
    cpu = timings["cpu_s"]
    return Ran(said["images_per_s"], said["digest"], memory.most, cpu["producer"], cpu["broker"])


def _table(runs: dict[str, list[Ran]]) -> Table:
    table = Table(title="medians (least to most)")
    for column in ("", "images/s", "Redis MB at most", "owner s CPU", "broker s CPU"):
        table.add_column(column, justify="right" if column else "left")
    for way, ran in runs.items():
        table.add_row(
            way,
            clusters.spread([one.images_per_s for one in ran]),
            f"{max(one.redis_bytes for one in ran) / 1e6:.1f}",
            f"{median(one.producer_cpu_s for one in ran):.2f}",
            f"{median(one.broker_cpu_s for one in ran):.2f}",
        )
    return table


def transport(
    images: Annotated[list[Path], typer.Option(help="A folder of images; repeatable.")],
    detector: Annotated[str, typer.Option(help="NAME or PATH.")] = "hog",
    count: Annotated[int, typer.Option(min=1, help="Images a run: links, again from the first at the end.")] = 1000,
    repeat: Annotated[int, typer.Option(min=1, help="Pairs.")] = 5,
    processes: Annotated[int, typer.Option(min=0, help="Pool processes; 0: one a core.")] = 0,
    window: Annotated[int, typer.Option(min=1, help="Of redis: --ship-window, MB.")] = 256,
    report: Annotated[Path, typer.Option(help="Where the figures go.")] = Path("bench-results/transport.json"),
) -> None:
    """The same images by path and through Redis, on one machine.

    Example:  python -m benchmarks.transport --images photos/ --detector yolox_nano.onnx
    """
    facts = machine.describe()
    folder = Path(tempfile.mkdtemp(prefix="manyeyes-transport-"))
    model = str(Path(detector).absolute()) if Path(detector).is_file() else detector
    runs: dict[str, list[Ran]] = {"path": [], "redis": []}
    try:
        pictures.repeat(images, count, folder / "images")
        options = ["--detector", model]
        with (
            clusters.broker(folder) as url,
            clusters.worker(folder, url, options, {}, processes or machine.cores()),
        ):
            once(folder, url, model, "path", window)
            for _ in range(repeat):
                for way, ran in runs.items():
                    ran.append(once(folder, url, model, way, window))
    finally:
        shutil.rmtree(folder)
    assert len({one.digest for ran in runs.values() for one in ran}) == 1, "the tables differ"
    report.parent.mkdir(parents=True, exist_ok=True)
    found = {way: [asdict(one) for one in ran] for way, ran in runs.items()}
    atomic_files.write_json(report, {"machine": asdict(facts), "images": count, "window_mb": window, **found})
    console.print(f"{facts.sentence()}, load {facts.load}")
    console.print(_table(runs))
    ratios = [b.images_per_s / a.images_per_s for a, b in zip(runs["path"], runs["redis"], strict=True)]
    console.print(f"redis / path, pair by pair: {clusters.spread(ratios)}")


if __name__ == "__main__":
    os.environ.pop("MANYEYES_BROKER_URL", None)
    typer.run(transport)
