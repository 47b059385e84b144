"""Two versions on one broker: the real commands beside the same with the next protocol's number."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
import redis

from common.limits import PROTOCOL
from tests.acceptance.commands import Said, finish, only_run, producer, start
from tests.acceptance.workers import a_worker
from tests.waiting import wait_until

IMAGES = 24
NOW = ["worker", "start", "-c", "1"]


def later(module: str) -> list[str]:
    """The command of the version after this one."""
    code = f"import common.limits; common.limits.PROTOCOL += 1; from {module} import main; main()"
    return ["python", "-P", "-c", code]


NEXT = [*later("worker.cli"), "start", "-c", "1"]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    random = np.random.default_rng(0)
    for number in range(IMAGES):
        image = cv2.resize(random.integers(0, 256, (60, 80, 3), np.uint8), (640, 480))
        (tmp_path / "photos" / f"{number:03d}.jpg").write_bytes(cv2.imencode(".jpg", image)[1].tobytes())
    return tmp_path


def test_two_versions_share_a_broker(photos: Path, redis_url: str) -> None:
    url = {"MANYEYES_BROKER_URL": redis_url}
    with a_worker(NEXT, photos, redis_url, processes=1):
        said = producer("submit", "photos", cwd=photos, **url)
        assert said.code == 2 and "of another version" in said.error, said.err
        with a_worker(NOW, photos, redis_url, processes=2):
            mine = start("producer", "submit", "photos", "--json", "--output", "mine", cwd=photos, **url)
            command, *words = later("producer.cli.entry")
            theirs = start(command, *words, "submit", "photos", "--json", "--output", "theirs", cwd=photos, **url)
            both = [finish(mine), finish(theirs)]
            assert [one.code for one in both] == [0, 0], [one.err for one in both]
    workers = [set(_column(photos, one, "worker")) for one in both]
    assert len(workers[0]) == len(workers[1]) == 1 and workers[0] != workers[1], "each took its own version's work"
    assert both[0].json["digest"] == both[1].json["digest"]
    assert both[0].json["digest"] and not [one for one in both if _sent_again(photos, one)]


def _column(folder: Path, said: Said, name: str) -> list[str]:
    table = pq.read_table(folder / said.json["run_dir"] / "timings.parquet", columns=[name])
    return [str(value) for value in table.column(name).to_pylist()]


def _sent_again(folder: Path, said: Said) -> bool:
    return bool(json.loads((folder / said.json["run_dir"] / "timings.json").read_text())["sent_again"])


def test_a_run_goes_on_after_an_upgrade(photos: Path, redis_url: str, client: redis.Redis) -> None:
    url = {"MANYEYES_BROKER_URL": redis_url}
    with a_worker(NOW, photos, redis_url, processes=1):
        whole = producer("submit", "photos", "--json", "--output", "whole", cwd=photos, **url)
        owner = start("producer", "submit", "photos", cwd=photos, **url)
        wait_until(lambda: list(photos.glob("runs/*/journal.bin")), what="the run's first result")
        wait_until(lambda: only_run(photos).joinpath("journal.bin").stat().st_size, what="the run's first result")
        owner.kill()
        owner.communicate()
    # Shards stay behind that were handed back, or wait with messages which only this version takes.
    run = only_run(photos).name
    assert client.zcard(f"manyeyes:open:{run}") > 0
    with a_worker(NEXT, photos, redis_url, processes=1):
        command, *words = later("producer.cli.entry")
        said = finish(start(command, *words, "resume", "--json", cwd=photos, **url))
    assert said.code == 0, said.err
    assert said.json["digest"] == whole.json["digest"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"schema": 2}, "schema 2"),
        ({"spec": {"tiling": True}}, "'tiling'"),
    ],
)
def test_a_run_of_a_later_version_is_refused_in_one_line(tmp_path: Path, change: dict[str, object], says: str) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(cv2.imencode(".jpg", np.zeros((64, 64, 3), np.uint8))[1].tobytes())
    assert producer("submit", "photos", cwd=tmp_path).code == 0
    file = only_run(tmp_path) / "run.json"
    data = json.loads(file.read_text())
    data["versions"]["manyeyes"] = "9.9"
    spec = {**data["spec"], **change.get("spec", {})}  # type: ignore[dict-item]
    file.write_text(json.dumps({**data, **change, "spec": spec}))
    said = producer("resume", cwd=tmp_path)
    assert said.code == 2 and says in said.error and "9.9" in said.error, said.err


def test_the_protocol_is_in_the_name_of_a_queue() -> None:
    from common.protocol.messages import task_queue

    assert task_queue("hog-1234") != task_queue("hog-1234", PROTOCOL + 1)
