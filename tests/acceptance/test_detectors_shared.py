"""Several detectors on one cluster: a worker that serves two queues, one that serves one of them, runs of both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import Popen

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chaos import plugin
from chaos.poisonable import NAME
from tests.acceptance.commands import finish, start
from tests.acceptance.workers import a_worker
from tests.failure import poison

#: The same detector under another name: another queue.
OTHER = "placid"
IMAGES, PACE_S = 200, 0.02
Submit = Callable[..., Popen[str]]
BOTH = ["worker", "start", "--detector", f"{NAME},{OTHER}"]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> poison.Poisoned:
    made = poison.make(tmp_path, IMAGES, [], PACE_S)
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


def timings(folder: Path, name: str) -> pa.ChunkedArray:
    [path] = folder.glob("*/timings.parquet")
    return pq.read_table(path, columns=[name])[name]


def test_each_detector_has_its_runs_done_by_whoever_serves_it(
    made: poison.Poisoned, submit: Submit, redis_url: str
) -> None:
    (made.folder / "second").mkdir()
    only = ["worker", "start", "--detector", OTHER, "-c", "1"]
    second, below = made.folder / "second", {"MANYEYES_ROOTS": str(made.folder)}
    with a_worker([*BOTH, "-c", "1"], made.folder, redis_url), a_worker(only, second, redis_url, 2, **below):
        together = {name: submit(name, name) for name in (NAME, OTHER)}
        ended = {name: finish(run) for name, run in together.items()}
        made.pace(0)
        for name, said in ended.items():
            assert said.code == 0 and said.json["ok"] == IMAGES, said.err
            alone = finish(submit(f"{name}-alone", name))
            for table in ("images.parquet", "detections.parquet"):
                one, other = (made.folder / run.json["run_dir"] / table for run in (said, alone))
                assert one.read_bytes() == other.read_bytes()
    first, second = (set(timings(made.folder / name, "worker").to_pylist()) for name in (NAME, OTHER))
    assert len(first) == 1 and second - first, "only one worker serves the first; the second serves the other"
