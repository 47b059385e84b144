"""Several runs on the same workers: they share the window, by priority, and who is gone counts no more."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest

from common.broker.connect import connect
from common.limits import SHARD_S
from common.protocol.ledger import Ledger
from tests.acceptance.commands import finish, producer, start
from tests.acceptance.workers import a_worker
from tests.failure import poison
from tests.waiting import wait_until

PROCESSES = 2
PACE_S = 0.01
#: Images of a shard of full length.
SHARD = int(SHARD_S / PACE_S)
#: Forty seconds' work: no test waits for all of it.
MANY, FEW = 8_000, 40


@dataclass
class Stage:
    """Workers that are there, a dataset of many images, and the runs over it."""

    made: poison.Poisoned
    url: str
    producers: list[subprocess.Popen[str]] = field(default_factory=list)

    def submit(self, name: str, *options: object) -> Run:
        command = ("submit", "photos", "--detector", "poisonable", "--json", "--output", name, *options)
        process = start("producer", *command, cwd=self.made.folder, MANYEYES_BROKER_URL=self.url)
        self.producers.append(process)
        return Run(process, self.made.folder / name)

    def end(self) -> None:
        for process in self.producers:
            if process.poll() is None:
                process.kill()
                process.communicate()


@dataclass
class Run:
    process: subprocess.Popen[str]
    output: Path

    @property
    def folder(self) -> Path:
        [folder] = self.output.iterdir()
        return folder

    @property
    def progress(self) -> dict[str, Any]:
        with suppress(OSError, ValueError):
            data: dict[str, Any] = json.loads((self.folder / "progress.json").read_text())
            return data
        return {}

    def stored(self) -> int:
        return int(self.progress.get("stored", 0))

    def flows(self) -> bool:
        """Its shards have their full length, and its window is full of them."""
        return self.stored() > 2 * PROCESSES * SHARD

    def started(self) -> npt.NDArray[np.datetime64]:
        """(n,) when each image's turn came, of a run that has ended."""
        column = pq.read_table(self.folder / "timings.parquet", columns=["started"])["started"].drop_null()
        found: npt.NDArray[np.datetime64] = column.to_numpy().astype("datetime64[us]")
        return found


@pytest.fixture
def stage(tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    made = poison.make(tmp_path, MANY, [], PACE_S)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    command = ["worker", "start", "--detector", "poisonable", "-c", str(PROCESSES)]
    with a_worker(command, tmp_path, redis_url, processes=PROCESSES):
        stage = Stage(made, redis_url)
        try:
            yield stage
        finally:
            stage.end()


def test_a_small_run_is_not_stuck_behind_a_large_one(stage: Stage, redis_url: str) -> None:
    large = stage.submit("large")
    wait_until(large.flows, what="the large run's flow")
    small = stage.submit("small", "--limit", FEW)
    wait_until(lambda: small.output.is_dir() and any(small.output.iterdir()), what="the small run's id")
    with connect(redis_url) as client:
        ledger = Ledger(client, small.folder.name)
        wait_until(ledger.open_shards, what="the small run's first shard")
    sent = np.datetime64(time.time_ns() // 1000, "us")
    said = finish(small.process)
    assert said.code == 0 and said.json["ok"] == FEW, said.err
    assert large.process.poll() is None and large.stored() < MANY // 2
    stage.made.pace(0)
    assert finish(large.process).code == 0
    others, own = large.started(), small.started()
    # A shard a process waited in the queue; before the window was counted in seconds, three.
    ahead = int(((others > sent) & (others < own.min())).sum())
    assert ahead < 2 * PROCESSES * SHARD
    # And once its turn had come, it was soon through: its short shards count as what they are.
    between = int(((others > own.min()) & (others < own.max())).sum())
    assert between < 3 * PROCESSES * SHARD


def test_a_higher_priority_has_more_of_the_time(stage: Stage) -> None:
    slight = stage.submit("slight")
    wait_until(slight.flows, what="the first run's flow")
    weighty = stage.submit("weighty", "--priority", 3)
    wait_until(weighty.flows, what="the second run's flow")
    after = np.datetime64(time.time_ns() // 1000, "us")
    begun = weighty.stored()
    wait_until(lambda: weighty.stored() > begun + 5 * SHARD, what="a while side by side")
    before = np.datetime64(time.time_ns() // 1000, "us")
    stage.made.pace(0)
    assert (finish(slight.process).code, finish(weighty.process).code) == (0, 0)
    more, less = (int(((at > after) & (at < before)).sum()) for at in (weighty.started(), slight.started()))
    assert more > 1.8 * less, "three to one, less what chance and shards' ends make of it"
    assert less > 0


def test_who_is_killed_soon_counts_no_more(stage: Stage) -> None:
    """Alone, a run has the whole window: two shards a process."""

    def open_shards() -> int:
        return int(staying.progress["open_shards"])

    staying = stage.submit("staying")
    wait_until(staying.flows, what="the first run's flow")
    wait_until(lambda: open_shards() >= 2 * PROCESSES, what="the whole window")
    going = stage.submit("going", "--limit", MANY // 2)
    wait_until(lambda: open_shards() <= PROCESSES, what="half of the window")
    wait_until(lambda: going.stored() > 0, what="the second run's results")
    going.process.send_signal(signal.SIGKILL)
    going.process.communicate()
    wait_until(lambda: open_shards() >= 2 * PROCESSES, what="the whole window again")
    stage.made.pace(0)
    # Nothing is lost with it; and it may go on with another weight.
    again = ("resume", "--output", going.output, "--priority", 5, "--json")
    said = producer(*again, cwd=stage.made.folder, MANYEYES_BROKER_URL=stage.url)
    assert said.code == 0 and said.json["ok"] == MANY // 2, said.err
    assert json.loads((going.folder / "run.json").read_text())["priority"] == 5
    assert finish(staying.process).code == 0
    told = producer("status", "--output", "staying", "--json", cwd=stage.made.folder).json
    assert told["priority"] == 1


def test_a_priority_that_there_is_not_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for said in (
        producer("submit", "photos", "--priority", "101", cwd=tmp_path),
        producer("submit", "photos", cwd=tmp_path, MANYEYES_PRIORITY="high"),
        producer("resume", "--priority", "0", cwd=tmp_path),
    ):
        assert said.code == 2 and "1 (default: 1) to 100" in said.error
    assert not (tmp_path / "runs").exists()
