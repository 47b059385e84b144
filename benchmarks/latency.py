"""Round trips in; what they cost the same workers, beside loopback, with a shared disk and without one, out.

A lab of three hosts (`benchmarks/hosts/`): a hub with its workers on loopback, and a hub whose workers sit on two hosts
behind wires as slow as told. The detector sleeps through each image, so that seconds hardly depend on the machine.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks import clusters, machine, pictures
from benchmarks.hosts import cluster
from benchmarks.hosts.cluster import Hub
from benchmarks.hosts.lab import Lab
from common.errors import ManyeyesError

#: Distinct photographs, drawn: pixels a side, and of the noise that is blown up to that. About 80 kB each.
_DRAWN, _WIDTH, _HEIGHT, _COARSE = 200, 640, 480, 4
_FAR = ("one", "two")
#: The longest that one run may take, in times of what its workers need for it.
_PATIENCE, _PATIENCE_S = 5, 60

console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)


@dataclass(frozen=True, slots=True)
class Ran:
    """One run: the workers' round trip in ms, 0 for loopback, and images/s from its first shard's start to its end."""

    transport: str
    round_trip_ms: float
    images_per_s: float
    first_result_s: float


@dataclass(frozen=True, slots=True)
class Plan:
    images: int
    pace_s: float
    #: On each of the two hosts, and twice as many on loopback.
    processes: int
    round_trips_ms: tuple[float, ...]
    transports: tuple[str, ...]
    rounds: int


@dataclass(frozen=True, slots=True)
class Stage:
    plan: Plan
    lab: Lab
    near: Hub
    far: Hub

    def round(self) -> Iterator[Ran]:
        for transport in self.plan.transports:
            yield self._run(self.near, transport, 0.0)
            for milliseconds in self.plan.round_trips_ms:
                self._slow(milliseconds / 1000)
                yield self._run(self.far, transport, milliseconds)

    def _slow(self, round_trip_s: float) -> None:
        for name in _FAR:
            self.lab.delay(name, round_trip_s)
            found = self.lab[name].round_trip(self.far.host)
            if not round_trip_s <= found < 1.5 * round_trip_s + 0.001:
                raise ManyeyesError(f"{name} is {found * 1000:.2f} ms away and not {round_trip_s * 1000:g} ms")

    def _run(self, hub: Hub, transport: str, milliseconds: float) -> Ran:
        head = hub.host
        ran = hub.submit(head, str(self.lab.folder / "shared" / "photos"), "--transport", transport, "--output", "runs")
        plan = self.plan
        if ran.wait(_PATIENCE_S + _PATIENCE * plan.images * plan.pace_s / (plan.processes * len(_FAR))):
            raise ManyeyesError(f"producer submit: {ran.err.read_text()[-500:]}")
        said = json.loads(ran.out.read_text())
        timings = json.loads((head.folder / said["run_dir"] / "timings.json").read_text())
        shutil.rmtree(head.folder / "runs")
        return Ran(transport, milliseconds, said["images_per_s"], round(timings["first_result_s"], 3))


@contextmanager
def _stage(plan: Plan, folder: Path) -> Iterator[Stage]:
    with Lab(folder, ["head", *_FAR], shared=["shared"]) as lab:
        _draw(folder / "drawn")
        # Files and no links: the hosts see nothing else of the folder.
        for link in pictures.repeat([folder / "drawn"], plan.images, folder / "shared" / "photos"):
            source = link.readlink()
            link.unlink()
            link.hardlink_to(source)
        cluster.equip(lab)
        cluster.pace(lab.hosts, plan.pace_s)
        head = lab["head"]
        near, far = Hub.up(head, "127.0.0.1", "near"), Hub.up(head, head.address, "far")
        for name in _FAR:
            near.join(head, plan.processes)
            far.join(lab[name], plan.processes)
        for hub in (near, far):
            hub.await_processes(plan.processes * len(_FAR))
        yield Stage(plan, lab, near, far)


def _draw(folder: Path) -> None:
    folder.mkdir()
    noise = np.random.default_rng(1)
    for number in range(_DRAWN):
        coarse = noise.integers(0, 256, (_HEIGHT // _COARSE, _WIDTH // _COARSE, 3), np.uint8)
        image = cv2.resize(coarse, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_LINEAR)
        (folder / f"{number:03d}.jpg").write_bytes(cv2.imencode(".jpg", image)[1].tobytes())


def _table(rounds: list[list[Ran]]) -> Table:
    table = Table(title=f"medians of {len(rounds)} rounds (least to most)")
    for column in ("transport", "round trip ms", "images/s", "of loopback", "of loopback by path", "first result s"):
        table.add_column(column, justify="left" if column == "transport" else "right")
    for place, (transport, milliseconds) in enumerate((one.transport, one.round_trip_ms) for one in rounds[0]):
        runs = [one[place] for one in rounds]
        base = next(n for n, one in enumerate(rounds[0]) if one.transport == transport)
        table.add_row(
            transport,
            f"{milliseconds:g}" if milliseconds else "loopback",
            clusters.spread([one.images_per_s for one in runs], 1),
            clusters.spread([one[place].images_per_s / one[base].images_per_s for one in rounds], 3),
            clusters.spread([one[place].images_per_s / one[0].images_per_s for one in rounds], 3),
            clusters.spread([one.first_result_s for one in runs], 2),
        )
    return table


def latency(
    images: Annotated[int, typer.Option(min=1, help="Images of a run.")] = 1200,
    pace: Annotated[float, typer.Option(min=0, help="Seconds that one image takes.")] = 0.1,
    processes: Annotated[int, typer.Option(min=1, help="Pool processes on each of the two hosts.")] = 2,
    round_trip: Annotated[list[float] | None, typer.Option(help="Milliseconds; repeatable. (2 and 20)")] = None,
    transport: Annotated[list[str] | None, typer.Option(help="Repeatable. (path and redis)")] = None,
    repeat: Annotated[int, typer.Option(min=1, help="Rounds; in each, every case comes once.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """The same workers on loopback and some milliseconds away, in turns: what the network costs."""
    trips, ways = tuple(round_trip or (2.0, 20.0)), tuple(transport or ("path", "redis"))
    plan = Plan(images, pace, processes, trips, ways, repeat)
    facts = machine.describe()
    folder = Path(tempfile.mkdtemp(prefix="manyeyes-latency-"))
    rounds: list[list[Ran]] = []
    try:
        with _stage(plan, folder) as stage:
            for _ in range(plan.rounds):
                rounds.append(list(stage.round()))
    finally:
        shutil.rmtree(folder)
    if as_json:
        found = [[asdict(ran) for ran in one] for one in rounds]
        print(json.dumps({"machine": asdict(facts), "plan": asdict(plan), "rounds": found}))
        return
    console.print(f"{facts.sentence()}, load {facts.load}")
    console.print(_table(rounds))


if __name__ == "__main__":
    typer.run(latency)
