"""Workers of uneven speed, workers that come and go: the end does not wait for the slowest, and nothing is lost."""

from __future__ import annotations

import json
import re
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Any

import pyarrow.parquet as pq
import pytest
import redis

from chaos.poisonable import PACE
from common.protocol import heartbeats
from tests.acceptance.commands import LIMIT_S, Said, finish, producer, start
from tests.acceptance.workers import a_worker
from tests.failure import poison
from tests.waiting import wait_until

#: Twelve seconds' work for one process.
IMAGES, PACE_S = 600, 0.02
SHARD = 20
#: Seconds an image, with which a process does not come to the end of one before all others are done.
SICK_S = 25.0
#: Seconds an image, with which a shard would hold the run for a minute: after two of them the rest is others'.
SLOW_S = 3.0
COMMAND = ["worker", "start", "--detector", "poisonable", "-c", "1"]


@dataclass
class Machine:
    """A worker of one process, whose pace is its own."""

    worker: Popen[str]
    pace_file: Path

    @property
    def log(self) -> str:
        return (self.pace_file.parent / "worker.log").read_text()

    def pace(self, seconds: float) -> None:
        self.pace_file.with_suffix(".new").write_text(str(seconds))
        self.pace_file.with_suffix(".new").replace(self.pace_file)


@dataclass
class Stage:
    """A dataset, machines that join when they are told to, and the run over it."""

    made: poison.Poisoned
    url: str
    client: redis.Redis

    @contextmanager
    def machine(self, name: str, processes: int) -> Iterator[Machine]:
        folder = self.made.folder / name
        folder.mkdir()
        pace = folder / "pace"
        pace.write_text(str(PACE_S))
        environment = {**self.made.environment, PACE: str(pace)}
        with a_worker(COMMAND, folder, self.url, processes, **environment) as worker:
            yield Machine(worker, pace)

    @contextmanager
    def submit(self, *options: object) -> Iterator[Popen[str]]:
        command = ("submit", "photos", "--detector", "poisonable", "--shard-size", SHARD, "--json", *options)
        process = start("producer", *command, cwd=self.made.folder, MANYEYES_BROKER_URL=self.url)
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def stored(self) -> int:
        for path in self.made.folder.glob("runs/*/progress.json"):
            return int(json.loads(path.read_text())["stored"])
        return 0

    def busy(self) -> set[str]:
        """Processes that work on something."""
        return {beat.process for beat in heartbeats.live_processes(self.client) if beat.run}

    def same_bytes(self, said: Said, machine: Machine) -> dict[str, Any]:
        """The run's tables are those of one that nothing happens to; returns the run's timings."""
        assert said.code == 0 and said.json["ok"] == IMAGES, said.err
        machine.pace(0)
        quiet, run = self.quiet(), self.folder(said)
        for name in ("images.parquet", "detections.parquet"):
            assert (run / name).read_bytes() == (quiet / name).read_bytes()
        figures: dict[str, Any] = json.loads((run / "timings.json").read_text())
        return figures

    def folder(self, said: Said) -> Path:
        return self.made.folder / str(said.json["run_dir"])

    def quiet(self) -> Path:
        command = ("submit", "photos", "--detector", "poisonable", "--json", "--output", "quiet")
        said = producer(*command, cwd=self.made.folder, MANYEYES_BROKER_URL=self.url)
        assert said.code == 0, said.err
        return self.folder(said)


@pytest.fixture
def stage(tmp_path: Path, redis_url: str, client: redis.Redis) -> Stage:
    return Stage(poison.make(tmp_path, IMAGES, []), redis_url, client)


def test_a_machine_that_falls_sick_does_not_hold_the_end(stage: Stage) -> None:
    with stage.machine("well", 1) as well:
        with stage.machine("sick", 2) as sick, stage.submit() as run:
            wait_until(lambda: stage.stored() > IMAGES // 2, what="half of the run")
            sick.pace(SICK_S)
            said = finish(run)
            # After the image at hand: nobody needs its shard.
            wait_until(lambda: not stage.busy(), what="the sick one to give up its shard")
        figures = stage.same_bytes(said, well)
    assert figures["sent_again"] == {"slow": 1}
    rows = pq.read_table(stage.folder(said) / "timings.parquet", columns=["attempt", "worker"])
    second = {worker for attempt, worker in zip(*rows.to_pydict().values(), strict=True) if attempt == 2}
    assert rows["attempt"].to_pylist().count(2) == SHARD and len(second) == 1
    assert "attempt 2): a second attempt, for " in said.err


def test_a_machine_that_becomes_slow_hands_back_what_it_has_not_begun(stage: Stage) -> None:
    with stage.machine("well", 1) as well:
        with stage.machine("slow", 2) as slow, stage.submit() as run:
            wait_until(lambda: stage.stored() > 0, what="the first results")
            slow.pace(SLOW_S)
            said = finish(run)
        figures = stage.same_bytes(said, well)
    assert figures["sent_again"]["long"] >= 1 and set(figures["sent_again"]) <= {"long", "slow"}
    rows = pq.read_table(stage.folder(said) / "timings.parquet", columns=["shard", "worker"]).to_pylist()
    shards = Counter((row["shard"], row["worker"]) for row in rows)
    assert all(images == int(shard.partition("+")[2]) for (shard, _), images in shards.items()), "torn apart"
    assert min(shards.values()) < SHARD
    # How many of a shard's images came before it became slow depends on who was quicker.
    assert "takes long: " in said.err and re.search(rf"committed \d+ of {SHARD}, the rest is handed back", slow.log)


def test_machines_join_and_leave_in_the_middle(stage: Stage) -> None:
    with stage.machine("early", 1) as early, stage.submit() as run:
        wait_until(lambda: stage.stored() > 0, what="the first results")
        with stage.machine("late", 2) as late:
            wait_until(lambda: len(stage.busy()) == 2, what="work for the one that joined")
            begun = stage.stored()
            wait_until(lambda: stage.stored() > begun + 4 * SHARD, what="both at work")
            early.worker.send_signal(signal.SIGTERM)
            early.worker.wait(timeout=LIMIT_S)
            said = finish(run)
            figures = stage.same_bytes(said, late)
    assert set(figures["sent_again"]) <= {"handed_back"}
    assert len({process["worker"] for process in figures["processes"]}) == 2
