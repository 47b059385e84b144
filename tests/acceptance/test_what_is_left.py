"""What is left of work: nothing in the broker after a run, and a figure by which something can scale from zero."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from common.broker.connect import PREFIX
from producer.cluster import valkey
from producer.cluster.acl import Role
from producer.run.waiting import LIFE_S, WAITING_KEY
from producer.rundir.journal import JournalAsItIs
from producer.rundir.run_directory import RunDir, all_runs
from tests.acceptance.commands import Said, finish, producer, start
from tests.acceptance.metrics import Metrics, Scrape, a_monitor
from tests.acceptance.prometheus import a_prometheus
from tests.acceptance.test_monitor import outlive, vanish
from tests.acceptance.workers import a_worker
from tests.failure import poison
from tests.guarded import Guarded, guarded
from tests.waiting import wait_until

IMAGES = 30
WORKER = ["worker", "start", "--detector", "poisonable", "--concurrency", "1"]


@dataclass
class Site:
    """A broker whose users may do their part and no more, and the monitor beside it."""

    cwd: Path
    photos: poison.Poisoned
    server: Guarded
    metrics: Metrics

    @property
    def admin(self) -> redis.Redis:
        return self.server.admin(self.server.port)

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        return start("producer", *arguments, cwd=self.cwd, MANYEYES_BROKER_URL=self.server.url(Role.PRODUCER))

    def producer(self, *arguments: object) -> Said:
        return producer(*arguments, cwd=self.cwd, MANYEYES_BROKER_URL=self.server.url(Role.PRODUCER))

    @contextmanager
    def worker(self) -> Iterator[subprocess.Popen[str]]:
        with a_worker(WORKER, self.cwd, self.server.url(Role.WORKER), **self.photos.environment) as worker:
            yield worker

    def detached(self) -> RunDir:
        said = self.producer("submit", "photos", "--detector", "poisonable", "--shard-size", 1, "--detach")
        assert said.code == 0, said.err
        return RunDir(self.cwd / "runs" / said.out.strip())

    def messages(self) -> list[bytes]:
        """All that wait in whatever queue."""
        lists = self.admin.scan_iter(f"{PREFIX}queue.*", _type="list")
        return [message for key in lists for message in self.admin.lrange(key, 0, -1)]

    def waiting(self, run: RunDir) -> int:
        return sum(b'"id": "' + run.run.encode() in message for message in self.messages())

    def left(self) -> list[float]:
        """Images, as who scales on them sees it."""
        return self.metrics.scrape().all("manyeyes_images_remaining", detector="poisonable")

    def unserved(self) -> bool:
        """What the alarm asks."""
        seen: Scrape = self.metrics.scrape()
        left = seen.all("manyeyes_queue_images_remaining", detector="poisonable")
        return sum(left) > 0 and seen.all("manyeyes_queue_processes", detector="poisonable") == [0]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    cwd = tmp_path_factory.mktemp("site")
    photos = poison.make(cwd, IMAGES, [], pace_s=0.5)
    with guarded(valkey.server_path(), cwd) as server, a_monitor(server.url(Role.MONITOR), cwd) as metrics:
        yield Site(cwd, photos, server, metrics)
        for run in map(RunDir, (cwd / "runs").iterdir()):
            if run.has_owner() and (run.path / "lease.json").exists():  # of a test that has failed
                os.kill(owner_of(run), signal.SIGKILL)
        assert server.refused() == []


def owner_of(run: RunDir) -> int:
    return int(json.loads((run.path / "lease.json").read_text())["pid"])


def runs_that_lose_their_worker(site: Site, count: int) -> list[RunDir]:
    with site.worker() as worker:
        runs = [site.detached() for _ in range(count)]
        wait_until(lambda: all(site.waiting(run) for run in runs), what="messages of each")
        vanish(worker, site.admin)
    return runs


def test_cancel_takes_a_runs_messages_out_and_no_other_ones(site: Site) -> None:
    first, second = runs_that_lose_their_worker(site, 2)
    wait_until(site.unserved, what="work that nobody serves")
    others = site.waiting(second)
    assert site.producer("cancel", first.run).code == 0
    assert site.waiting(first) == 0 and site.waiting(second) >= others > 0
    # Paused, there is nothing to do; and nothing either for one without an owner, until somebody resumes it.
    second.ask_to_pause(True)
    wait_until(lambda: site.left() == [0], what="a rest")
    second.ask_to_pause(False)
    wait_until(site.unserved, what="work again")
    os.kill(owner_of(second), signal.SIGKILL)
    wait_until(lambda: not second.has_owner(), what="its end")
    outlive(site.admin, second.run)
    wait_until(lambda: site.left() == [0] and not site.unserved(), what="nobody who wants a worker")
    assert site.waiting(second) > 0
    doctor = site.producer("doctor").out
    assert f"run {second.run} has no owner" in doctor and f"producer cancel {second.run}" in doctor
    assert site.producer("cancel", second.run).code == 0
    assert site.messages() == []


def test_no_alarm_rings_a_minute_after_a_cancel(site: Site) -> None:
    with a_prometheus(site.metrics, site.cwd, impatience=60) as prometheus:
        [run] = runs_that_lose_their_worker(site, 1)
        wait_until(lambda: "ManyeyesNoWorkers" in prometheus.firing(), what="the alarm")
        told = time.monotonic()
        assert site.producer("cancel", run.run).code == 0
        wait_until(lambda: prometheus.firing() == set() == set(site.messages()), timeout=60, what="quiet")
        assert time.monotonic() - told < 60


def test_a_submit_that_waits_for_workers_is_seen_and_fades_when_it_dies(site: Site) -> None:
    waits = ("submit", "photos", "--detector", "poisonable", "--wait", 120, "--shard-size", 1)
    dies, waiting = site.start(*waits), site.start(*waits)
    wait_until(lambda: site.left() == [2 * IMAGES], what="all images of both, counted")
    dies.kill()
    dies.communicate()
    died = time.monotonic()
    wait_until(lambda: site.left() == [IMAGES], what="its entry to fade")
    wait_until(lambda: site.admin.zcard(WAITING_KEY) == 1, what="nothing of it")
    assert time.monotonic() - died < 3 * LIFE_S
    # The other goes on when there is a worker.
    with site.worker():
        wait_until(lambda: 0 < sum(site.left()) < IMAGES, what="images done")
        assert not site.admin.exists(WAITING_KEY)
        waiting.send_signal(signal.SIGINT)
        assert finish(waiting).code == 130
    # What a resume has still to do.
    run = all_runs(site.cwd / "runs")[-1]
    outlive(site.admin, run.run)
    missing = IMAGES - JournalAsItIs(run.journal).done.count
    waiting = site.start("resume", "latest", "--wait", 120)
    wait_until(lambda: site.admin.zcard(WAITING_KEY) == 1 and site.left() == [missing], what="what is missing")
    site.photos.pace(0)
    with site.worker():
        said = finish(waiting)
    assert said.code == 0, said.err
    assert site.left() == [0] and site.messages() == []
