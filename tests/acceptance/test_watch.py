"""`producer watch` from a machine that has the broker's URL and nothing else of the run."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from common.errors import UsageError
from common.protocol import heartbeats
from common.protocol.heartbeats import WorkerBeat
from common.protocol.ledger import RunState
from producer.monitor.watch import Watched
from producer.scheduler import run_stats
from tests.acceptance.commands import BIN, LIMIT_S, environment, producer
from tests.acceptance.workers import a_worker
from tests.failure import poison
from tests.integration.test_figures import said as words_of_an_owner
from tests.waiting import wait_until

#: More than are done before all have looked, at the pace of the beginning.
IMAGES = 400


@contextmanager
def on_a_terminal(cwd: Path, **extra: str) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """`producer watch` on one of 80x24, and the file that has what it shows."""
    ours, theirs = pty.openpty()
    shown = cwd / "shown"
    watch = subprocess.Popen(
        ["bash", "-c", f'stty cols 80 rows 24; exec "{BIN}/producer" watch'],
        cwd=cwd,
        env={**environment(**extra), "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    # Somebody must read, or a full terminal stops it.
    copy = subprocess.Popen(["cat"], stdin=ours, stdout=shown.open("wb"), stderr=subprocess.DEVNULL)
    os.close(ours)
    try:
        yield watch, shown
    finally:
        watch.kill()
        watch.wait()
        copy.wait(timeout=LIMIT_S)


def test_a_run_is_watched_from_another_machine(tmp_path: Path, redis_url: str) -> None:
    made = poison.make(tmp_path, IMAGES, [], pace_s=1.0)
    far = tmp_path / "far"
    far.mkdir()
    url = {"MANYEYES_BROKER_URL": redis_url}
    with a_worker(
        ["worker", "start", "--detector", "poisonable", "-c", "2"], tmp_path, redis_url, 2, **made.environment
    ):
        with (tmp_path / "run.err").open("w") as words:
            command = [BIN / "producer", "submit", "photos", "--detector", "poisonable", "--output", "elsewhere"]
            run = subprocess.Popen(command, cwd=tmp_path, env=environment(**url), stdout=words, stderr=words)
        wait_until(lambda: f"/{IMAGES} images" in (tmp_path / "run.err").read_text(), what="the run, all of it listed")
        [rundir] = (tmp_path / "elsewhere").iterdir()
        with (far / "plain").open("w") as plain, (far / "json").open("w") as objects:
            command = [BIN / "producer", "watch"]
            watchers = [
                subprocess.Popen(
                    [*command, rundir.name[:-4]], cwd=far, env=environment(**url), stdout=plain, stderr=plain
                ),
                subprocess.Popen(
                    [*command, "--json", "--output", "elsewhere"], cwd=tmp_path, env=environment(**url), stdout=objects
                ),
            ]
        with on_a_terminal(far, **url) as (watch, shown):
            wait_until(lambda: f"/{IMAGES} images".encode() in shown.read_bytes(), what="the live view")
            wait_until(lambda: b"/2 " in shown.read_bytes() and b"0:" in shown.read_bytes(), what="the worker")
            os.kill(watch.pid, signal.SIGINT)
            assert watch.wait(timeout=LIMIT_S) == 130
            assert run.poll() is None, "the run goes on"
        wait_until(lambda: all((far / name).read_text() for name in ("plain", "json")), what="the other watchers")
        made.pace(0)
        assert run.wait(timeout=LIMIT_S) == 0
        assert [watcher.wait(timeout=LIMIT_S) for watcher in watchers] == [0, 0]
    first, *_, last = (far / "plain").read_text().splitlines()
    assert f"/{IMAGES} images" in first and last.startswith(f"{rundir.name}: done, {IMAGES}/{IMAGES} images")
    assert "\x1b" not in first + last
    looks = [json.loads(line) for line in (far / "json").read_text().splitlines()]
    assert looks[0]["state"] == "running" and looks[-1]["state"] == "done" and looks[-1]["done"] == IMAGES
    worker = looks[0]["workers"][0]
    assert (worker["alive"], worker["processes"]) == (2, 2) and worker["at"][0]["run"] == rundir.name
    assert shown.read_bytes().endswith(b"\r\n"), "the last view stays"


def test_a_run_whose_owner_is_gone_says_where_to_go_on(tmp_path: Path, client: redis.Redis, redis_url: str) -> None:
    last = words_of_an_owner("20261121-105500-abcdefgh", said=float(client.time()[0]) - run_stats.SILENT_S - 5)
    run_stats.write(client, last)
    client.hset(f"manyeyes:run:{last.run}", "dir", f"/data/runs/{last.run}")
    url = {"MANYEYES_BROKER_URL": redis_url}
    said = producer("watch", cwd=tmp_path, **url)
    assert said.code == 5, said.err
    assert f"its owner on {last.host} is gone; to go on there:  producer resume /data/runs/{last.run}" in said.out

    run_stats.write(client, replace(last, progress=replace(last.progress, state=RunState.DONE)))
    assert producer("watch", last.run[:12], cwd=tmp_path, **url).code == 3, "as submit: some images failed"
    nobody = producer("watch", "2025", cwd=tmp_path, **url)
    assert nobody.code == 2 and "no run '2025' in runs, nor on the broker" in nobody.error


def test_who_goes_stays_in_the_list_and_what_a_broker_forgets_stands(client: redis.Redis) -> None:
    last = words_of_an_owner("20261121-105500-abcdefgh", said=float(client.time()[0]))
    run_stats.write(client, last)
    heartbeats.worker_beat(client, WorkerBeat("w@alpha", "alpha", 7, (last.queue,), 2, 2, started=1.0))
    heartbeats.worker_beat(client, WorkerBeat("w@beta", "beta", 8, ("other-1",), 1, 1, started=1.0))
    watched = Watched(last.run, None, client)
    [alpha] = watched.look().workers
    assert (alpha.host, alpha.alive, alpha.processes) == ("alpha", 2, 2), "beta serves another detector"
    heartbeats.worker_leave(client, "w@alpha")
    [alpha] = watched.look().workers
    assert (alpha.host, alpha.alive, alpha.processes) == ("alpha", 0, 2)
    client.flushall()
    forgotten = watched.look()
    assert forgotten.figures == last and not forgotten.over
    with pytest.raises(UsageError, match="knows nothing of run"):
        Watched(last.run, None, client).look()
