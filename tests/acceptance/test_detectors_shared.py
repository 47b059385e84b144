"""Several detectors on one cluster: a worker that serves two queues, one that serves one of them, runs of both."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import Popen

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chaos import plugin
from chaos.poisonable import NAME
from common.limits import SHARD_S
from tests.acceptance.commands import finish, start
from tests.acceptance.workers import a_worker
from tests.failure import poison
from tests.waiting import wait_until

#: The same detector under another name: another queue.
OTHER = "placid"
MANY, FEW, PACE_S = 3_000, 200, 0.02
PROCESSES = 2
#: Images of a shard of full length.
SHARD = int(SHARD_S / PACE_S)
#: Shorter ones, of which more go into a share.
SHORT = ("--shard-size", SHARD // 4)
Submit = Callable[..., Popen[str]]
BOTH = ["worker", "start", "--detector", f"{NAME},{OTHER}"]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> poison.Poisoned:
    made = poison.make(tmp_path, MANY, [], PACE_S)
    for name, value in plugin.install(tmp_path / "plugins", tmp_path / "pace", (NAME, OTHER)).items():
        monkeypatch.setenv(name, value)
    return made


@pytest.fixture
def submit(made: poison.Poisoned, redis_url: str) -> Iterator[Submit]:
    """Starts a run over the dataset with a detector, under an output folder of its own."""
    processes: list[Popen[str]] = []

    def begin(output: str, detector: str, *options: object) -> Popen[str]:
        command = ("submit", "photos", "--detector", detector, "--json", "--output", output, *options)
        processes.append(start("producer", *command, cwd=made.folder, MANYEYES_BROKER_URL=redis_url))
        return processes[-1]

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


def stored(folder: Path) -> int:
    for path in folder.glob("*/progress.json"):
        return int(json.loads(path.read_text())["stored"])
    return 0


def started(folder: Path) -> npt.NDArray[np.datetime64]:
    """(n,) when each image's turn came."""
    found: npt.NDArray[np.datetime64] = timings(folder, "started").to_numpy().astype("datetime64[us]")
    return found


def timings(folder: Path, name: str) -> pa.ChunkedArray:
    [path] = folder.glob("*/timings.parquet")
    return pq.read_table(path, columns=[name])[name]


def test_each_detector_has_its_runs_done_by_whoever_serves_it(
    made: poison.Poisoned, submit: Submit, redis_url: str
) -> None:
    (made.folder / "second").mkdir()
    only = ["worker", "start", "--detector", OTHER, "-c", "1"]
    with a_worker([*BOTH, "-c", "1"], made.folder, redis_url), a_worker(only, made.folder / "second", redis_url, 2):
        together = {name: submit(name, name, "--limit", FEW) for name in (NAME, OTHER)}
        ended = {name: finish(run) for name, run in together.items()}
        made.pace(0)
        for name, said in ended.items():
            assert said.code == 0 and said.json["ok"] == FEW, said.err
            alone = finish(submit(f"{name}-alone", name, "--limit", FEW))
            for table in ("images.parquet", "detections.parquet"):
                one, other = (made.folder / run.json["run_dir"] / table for run in (said, alone))
                assert one.read_bytes() == other.read_bytes()
    first, second = (set(timings(made.folder / name, "worker").to_pylist()) for name in (NAME, OTHER))
    assert len(first) == 1 and second - first, "only one worker serves the first; the second serves the other"


def test_a_worker_takes_turns_between_queues_and_priorities_hold_within_one(
    made: poison.Poisoned, submit: Submit, redis_url: str
) -> None:
    """Of the time that a queue gets; between queues there are none."""

    def flows(name: str) -> bool:
        return stored(made.folder / name) > 2 * PROCESSES * SHARD

    with a_worker([*BOTH, "-c", str(PROCESSES)], made.folder, redis_url, PROCESSES):
        runs = [submit("slight", NAME, *SHORT), submit("beside", OTHER, *SHORT)]
        wait_until(lambda: flows("slight") and flows("beside"), timeout=60, what="the flow of both queues")
        runs.append(submit("weighty", NAME, *SHORT, "--priority", 3))
        wait_until(lambda: flows("weighty"), timeout=60, what="the third run's flow")
        after, begun = np.datetime64(time.time_ns() // 1000, "us"), stored(made.folder / "weighty")
        wait_until(lambda: stored(made.folder / "weighty") > begun + 5 * SHARD, timeout=60, what="a while side by side")
        before = np.datetime64(time.time_ns() // 1000, "us")
        made.pace(0)
        assert [finish(run).code for run in runs] == [0, 0, 0]
    images = {}
    for name in ("slight", "weighty", "beside"):
        at = started(made.folder / name)
        images[name] = int(((at > after) & (at < before)).sum())
    assert images["weighty"] > 1.4 * images["slight"] > 0, "three to one, less what chance makes of so short a time"
    of_one_queue = images["weighty"] + images["slight"]
    assert 0.6 < images["beside"] / of_one_queue < 1.6, "turn and turn about, whatever waits in them"
