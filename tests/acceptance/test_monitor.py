"""`producer monitor` beside a real run: what an operator would see, and that it agrees with the run's tables."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import psutil
import pyarrow.parquet as pq
import pytest
import redis

from common.broker.connect import connect
from producer.rundir.run_directory import RunDir
from producer.scheduler import run_stats
from producer.scheduler.run_stats import SILENT_S
from tests.acceptance.brokers import Forgetful
from tests.acceptance.commands import only_run, producer, start
from tests.acceptance.metrics import Metrics, Scrape, a_monitor
from tests.acceptance.workers import a_worker
from tests.failure import poison
from tests.waiting import wait_until

#: All that the monitor may do: nothing that writes, and only under our prefix.
READS = ("hello", "auth", "ping", "client|setinfo", "time", "info", "zrange", "mget", "get", "hgetall", "llen")
WORKER = ["worker", "start", "--detector", "poisonable", "--concurrency", "1"]
#: Seconds an image, while the operator looks: however fast the machine, it sees the run before it ends.
PACE_S = 0.5
GOOD, BAD = 24, {"empty": 2, "not_an_image": 1}


@dataclass
class Stage:
    """A broker, and the monitor that may only read it."""

    cwd: Path
    photos: poison.Poisoned
    broker: Forgetful
    metrics: Metrics

    @property
    def environment(self) -> dict[str, str]:
        return {"MANYEYES_BROKER_URL": self.broker.url}

    def until(self, name: str, /, *values: float, **labels: str) -> Scrape:
        """The first scrape in which it is so."""
        return self.when(lambda seen: seen.all(name, **labels) == [*values], f"{name} {labels} {values}")

    def when(self, condition: Callable[[Scrape], bool], what: str) -> Scrape:
        def look() -> Scrape | None:
            seen = self.metrics.scrape()
            return seen if condition(seen) else None

        found = wait_until(look, what=what)
        assert found is not None
        return found


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    cwd = tmp_path_factory.mktemp("monitor")
    photos = poison.make(cwd, GOOD, [], PACE_S)
    # The first two and the last in the order of their paths.
    for name, data in {"!.jpg": b"", "+.jpg": b"no image", "~.jpg": b""}.items():
        (cwd / "photos" / name).write_bytes(data)
    broker = Forgetful(cwd)
    try:
        url = let_read(broker)
        with a_monitor(url, cwd) as metrics:
            yield Stage(cwd, photos, broker, metrics)
    finally:
        broker.end()


def let_read(broker: Forgetful) -> str:
    """The URL of a user who may only read."""
    with connect(broker.url) as client:
        rights = ("%R~manyeyes:*", "-@all", *(f"+{name}" for name in READS))
        client.execute_command("ACL", "SETUSER", "reader", "on", ">look", *rights)
    return broker.url.replace("//:secret@", "//reader:look@")


def since_progress(seen: Scrape) -> float:
    """Seconds in which the owner has spoken and no image was done."""
    word = seen.one("manyeyes_run_last_word_timestamp_seconds")
    return word - seen.one("manyeyes_run_last_progress_timestamp_seconds")


def vanish(worker: subprocess.Popen[str], client: redis.Redis) -> None:
    """As when its machine is lost, after the ten seconds in which its last heartbeats live."""
    for process in (*psutil.Process(worker.pid).children(recursive=True), worker):
        process.kill()
    worker.wait()
    client.delete(*client.keys("manyeyes:process:*"), *client.keys("manyeyes:worker:*"))


def outlive(client: redis.Redis, run: str) -> None:
    """As when its owner has been silent for long."""
    last = run_stats.read(client, run)
    assert last is not None
    run_stats.write(client, replace(last, said=last.said - SILENT_S))
    client.delete(f"manyeyes:lease:{run}")


def table(run: Path, name: str) -> Any:
    return pq.read_table(run / f"{name}.parquet")


def test_an_operator_sees_a_run_its_workers_and_what_happens_to_them(stage: Stage) -> None:
    with ExitStack() as stack:
        client = stack.enter_context(connect(stage.broker.url))
        worker = stack.enter_context(a_worker(WORKER, stage.cwd, stage.broker.url, **stage.photos.environment))
        # A name that is no UTF-8, as a shell may give it.
        options = ("--name", "stra\udcdfe", "--shard-size", 1, "--detector", "poisonable")
        owner = start("producer", "submit", "photos", *options, cwd=stage.cwd, **stage.environment)
        stack.callback(owner.kill)
        # A failed image, while it goes on.
        seen = stage.until("manyeyes_images_failed_total", 1.0, code="empty")
        run = RunDir(only_run(stage.cwd))
        assert seen.one("manyeyes_run_info", run=run.run, name="stra\\udcdfe", detector="poisonable") == 1
        assert seen.one("manyeyes_run_images", run=run.run) == GOOD + sum(BAD.values())
        assert seen.one("manyeyes_run_state", run=run.run, state="running") == 1
        assert seen.all("manyeyes_processes") == [1] == seen.all("manyeyes_workers")
        assert seen.all("manyeyes_queue_processes", detector="poisonable") == [1]
        assert (
            seen.one("manyeyes_run_open_shards", run=run.run) > 0 < seen.one("manyeyes_run_oldest_open_shard_seconds")
        )
        assert 0 < seen.one("manyeyes_redis_memory_used_bytes") < seen.one("manyeyes_redis_memory_max_bytes")
        assert abs(seen.one("manyeyes_run_last_word_timestamp_seconds") - time.time()) < 10
        assert seen.one("manyeyes_shards_sent_total") >= 1
        # A worker that vanishes: nobody serves the queue, work waits, nothing is done any more.
        vanish(worker, client)
        seen = stage.until("manyeyes_processes")
        assert seen.all("manyeyes_workers") == [] and seen.all("manyeyes_queue_processes", detector="poisonable") == [0]
        assert seen.one("manyeyes_queue_messages", detector="poisonable") > 0
        seen = stage.when(lambda seen: since_progress(seen) > 2, "a run that stands still")
        assert seen.one("manyeyes_run_state", state="running") == 1
        # Paused, and then without an owner.
        run.ask_to_pause(True)
        stage.until("manyeyes_run_state", 1.0, state="paused")
        run.ask_to_pause(False)
        stage.until("manyeyes_run_state", 1.0, state="running")
        owner.kill()
        owner.wait()
        outlive(client, run.run)
        seen = stage.until("manyeyes_run_state", 1.0, state="interrupted")
        assert seen.one("manyeyes_run_images_per_second") == 0
    # Brought to its end by another owner: all images, of both.
    stage.photos.pace(0)
    with a_worker(WORKER, stage.cwd, stage.broker.url, **stage.photos.environment):
        said = producer("resume", cwd=stage.cwd, **stage.environment)
    assert said.code == 3, said.err
    ended = stage.until("manyeyes_run_state", 1.0, state="done")
    agree_with_tables(ended, run.path)


def agree_with_tables(seen: Scrape, run: Path) -> None:
    images, timings = table(run, "images"), table(run, "timings")
    assert seen.one("manyeyes_images_done_total") == images.num_rows == seen.one("manyeyes_run_images")
    codes = [code for code in images["error_code"].to_pylist() if code]
    assert {code: codes.count(code) for code in set(codes)} == BAD
    for code, count in BAD.items():
        assert seen.one("manyeyes_images_failed_total", code=code) == count
    assert sum(seen.all("manyeyes_images_failed_total")) == sum(BAD.values())
    for stage in ("fetch", "decode", "preprocess", "infer", "postprocess"):
        seconds = timings[f"{stage}_s"].to_numpy()
        assert seen.one("manyeyes_stage_seconds_count", stage=stage) == len(seconds)
        assert seen.one("manyeyes_stage_seconds_sum", stage=stage) == pytest.approx(seconds.sum(), rel=1e-4, abs=1e-4)
        for bound in (0.001, 0.1, 1.0):
            below = seen.one("manyeyes_stage_seconds_bucket", stage=stage, le=str(bound))
            assert below == (seconds <= bound).sum()
    assert seen.one("manyeyes_run_open_shards") == seen.one("manyeyes_run_oldest_open_shard_seconds") == 0


def test_a_broker_that_goes_away_is_a_figure_and_comes_back(stage: Stage) -> None:
    stage.broker.end()
    away = stage.until("manyeyes_broker_up", 0.0)
    assert away.names == {"manyeyes_build_info", "manyeyes_broker_up"} and stage.metrics.health() == 200
    stage.broker.restart()
    # It has forgotten the user too: refused is away, and another trouble.
    told = stage.when(lambda _: "wants another password" in (stage.cwd / "monitor.log").read_text(), "its word")
    assert told.one("manyeyes_broker_up") == 0
    let_read(stage.broker)
    back = stage.until("manyeyes_broker_up", 1.0)
    assert back.all("manyeyes_run_state") == []
    log = (stage.cwd / "monitor.log").read_text()
    assert "Connection refused" in log and "answers again" in log
    # A line for each change, however many scrapes; and no password in any.
    assert len(log.splitlines()) <= 5 and "look" not in log and "secret" not in log


def test_nothing_else_is_served(stage: Stage) -> None:
    with pytest.raises(HTTPError, match="404"):
        urlopen(stage.metrics.url.replace("/metrics", "/"))
    taken = producer("monitor", "--listen", stage.metrics.url.split("/")[2], cwd=stage.cwd, **stage.environment)
    assert taken.code == 2 and "is taken by another program" in taken.error
    missing = producer("monitor", cwd=stage.cwd)
    assert missing.code == 2 and "MANYEYES_BROKER_URL" in missing.error
