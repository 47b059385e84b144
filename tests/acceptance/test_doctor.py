"""`producer doctor` on set-ups that are well, and that ail in one way each: it names it, and says what to do."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import redis

from common.limits import PROTOCOL
from common.protocol import heartbeats
from common.protocol.heartbeats import WorkerBeat
from common.protocol.ledger import Ledger
from common.protocol.messages import task_queue
from producer.cluster import acl
from producer.rundir.progress import Progress
from producer.scheduler import run_stats
from tests.acceptance.commands import only_run, producer
from tests.acceptance.workers import a_worker
from tests.owners import said
from tests.waiting import wait_until

OTHER = WorkerBeat("b@elsewhere", "elsewhere", 7, ("hog-1234",), 2, 2, 0.0)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(cv2.imencode(".jpg", np.zeros((64, 64, 3), np.uint8))[1].tobytes())
    return tmp_path


def examined(folder: Path, url: str | None, *datasets: str, code: int = 0) -> list[dict[str, Any]]:
    extra = {} if url is None else {"MANYEYES_BROKER_URL": url}
    said = producer("doctor", "--json", *datasets, cwd=folder, **extra)
    assert said.code == code, said.out + said.err
    found: list[dict[str, Any]] = json.loads(said.out)
    return found


def ailing(found: list[dict[str, Any]], part: str) -> list[str]:
    """What is said of a part that is not well, each with its remedy."""
    return [
        f"{one['words']} -> {one['remedy']}"
        for one in found
        if one["part"] == part and one["level"] in ("warning", "failed") and one["remedy"]
    ]


def test_without_a_broker_this_machine_is_looked_at(photos: Path) -> None:
    found = examined(photos, None, "photos")
    assert {one["level"] for one in found} <= {"ok", "note"}, [one for one in found if one["level"] != "ok"]
    assert {"manyeyes", "opencv", "disk", "dataset", "broker"} <= {one["part"] for one in found}


def test_a_set_up_that_is_well(photos: Path, redis_url: str, client: redis.Redis) -> None:
    with a_worker(["worker", "start", "-c", "1"], photos, redis_url, processes=1):
        wait_until(
            lambda: [beat.alive for beat in heartbeats.live_workers(client)] == [1], what="the worker's own word"
        )
        found = examined(photos, redis_url, "photos")
        lines = producer("doctor", "photos", cwd=photos, MANYEYES_BROKER_URL=redis_url)
    assert {one["level"] for one in found} <= {"ok", "note"}, [one for one in found if one["level"] != "ok"]
    words = {one["part"]: one["words"] for one in found}
    assert words["workers"] == "1 on 1 machines, 1 of 1 processes"
    assert words["models"].startswith("hog is hog-") and words["eviction"] == "noeviction"
    assert lines.code == 0 and all(part in lines.out for part in words), lines.out


def test_what_cannot_be_reached_or_read_fails(photos: Path) -> None:
    away = examined(photos, "redis://:secret@127.0.0.1:1/0", code=1)
    assert "does not answer" in ailing(away, "broker")[0] and "secret" not in json.dumps(away)
    assert "does not exist" in ailing(examined(photos, None, "nothing", code=1), "dataset")[0]
    (photos / "runs").write_text("no folder")
    assert "cannot be written to" in ailing(examined(photos, None, code=1), "disk")[0]


@contextmanager
def configured(client: redis.Redis, **settings: str) -> Iterator[None]:
    names = {name.replace("_", "-"): value for name, value in settings.items()}
    before = {name: client.config_get(name)[name] for name in names}
    try:
        for name, value in names.items():
            client.config_set(name, value)
        yield
    finally:
        for name, value in before.items():
            client.config_set(name, value)


def test_a_broker_that_forgets_or_is_full(photos: Path, redis_url: str, client: redis.Redis) -> None:
    used = int(client.info("memory")["used_memory"])
    with configured(client, maxmemory=str(int(used * 1.4)), maxmemory_policy="allkeys-lru"):
        found = examined(photos, redis_url, code=1)
    assert "allkeys-lru" in ailing(found, "eviction")[0] and "noeviction" in ailing(found, "eviction")[0]
    assert ailing(found, "memory")


def test_workers_of_other_clocks_and_versions(photos: Path, redis_url: str, client: redis.Redis) -> None:
    heartbeats.worker_beat(client, replace(OTHER, v=PROTOCOL + 1, alive=1, short_s=40.0))
    client.zadd(heartbeats.WORKERS_KEY, {OTHER.worker: time.time() + 90})
    found = examined(photos, redis_url, code=1)
    assert "1 of 2 processes live, for 40 s" in ailing(found, "workers")[0]
    assert f"protocol {PROTOCOL + 1}" in ailing(found, "versions")[0]
    assert "b@elsewhere's is 9" in ailing(found, "clock")[0] and "ahead" in ailing(found, "clock")[0]


def test_work_that_waits_for_nobody_and_what_was_refused(photos: Path, redis_url: str, client: redis.Redis) -> None:
    client.rpush(f"manyeyes:{task_queue('yolox-1234')}", "{}")
    client.hset("manyeyes:refused", "malformed", 3)
    client.rpush(f"manyeyes:{task_queue('hog-1234')}", "{}")
    run_stats.write(client, said("20260101-000000-abcdefgh", Ledger(client, "").now()))
    found = examined(photos, redis_url)
    assert "none is there" in ailing(found, "workers")[0]
    [words] = ailing(found, "queues")
    assert "1 messages wait in queue.3.hog-1234" in words and "worker start --detector hog" in words
    assert "producer cancel 20260101-000000-abcdefgh" in words
    # Nobody waits for these, and no worker need be started for them.
    [left] = [one for one in found if "yolox-1234" in one["words"]]
    assert left["level"] == "note" and "left by runs that are no more" in left["words"]
    assert "3 malformed" in ailing(found, "messages")[0]


def test_a_run_without_an_owner(photos: Path, redis_url: str, client: redis.Redis) -> None:
    with a_worker(["worker", "start", "-c", "1"], photos, redis_url, processes=1):
        assert producer("submit", "photos", cwd=photos, MANYEYES_BROKER_URL=redis_url).code == 0
    run = only_run(photos).name
    last = run_stats.read(client, run)
    assert last is not None
    progress: Progress = replace(last.progress, state="running", done=0)
    run_stats.write(client, replace(last, progress=progress, said=last.said - 60))
    [words] = ailing(examined(photos, redis_url), "runs")
    assert "has no owner, at 0 of 1 images" in words and f"producer resume {run}" in words


def test_images_that_workers_do_not_see(photos: Path, redis_url: str) -> None:
    """A disk that has another name there, and nothing under it."""
    (photos / "empty").mkdir()
    with a_worker(
        ["worker", "start", "-c", "1", "--map", f"{photos / 'photos'}={photos / 'empty'}"],
        photos, redis_url, processes=1,
    ):  # fmt: skip
        found = examined(photos, redis_url, "photos")
    assert [one["level"] for one in found if one["part"] == "images"] == ["note"]
    assert any("through Redis" in one["words"] and "--root" in one["remedy"] for one in found)


def test_a_login_that_may_look_at_little_is_no_fault(photos: Path, redis_url: str, client: redis.Redis) -> None:
    """A joined machine has a worker's URL and no other."""
    client.execute_command("ACL", "SETUSER", *acl.line(acl.Role.WORKER, "secret").split()[1:])
    try:
        found = examined(photos, f"redis+socket://manyeyes-worker:secret@{redis_url.partition('@')[2]}")
    finally:
        client.acl_deluser("manyeyes-worker")
    assert {one["level"] for one in found if one["part"] != "workers"} <= {"ok", "note"}, found
    assert "may not look further" in json.dumps(found)
