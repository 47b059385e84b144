"""`producer up`: a hub on this machine, kept alive, joined by others, killed in every way, and stopped."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import cv2
import numpy as np
import psutil
import pytest

from common.broker.connect import connect
from producer.cluster import valkey
from producer.cluster.acl import Role
from producer.cluster.hub.settings import DASHBOARD
from producer.cluster.hub.state_folder import Part, Status
from tests.acceptance.commands import finish, marked, start
from tests.acceptance.hubs import ON_FREE_PORTS, TestHub
from tests.acceptance.metrics import Metrics
from tests.waiting import wait_until

#: Enough work for hog that a kill finds the run in its middle.
IMAGES = 40
#: What a producer may write, and nobody looks at.
KEPT = "manyeyes:run:kept"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestHub]:
    """One that serves hog with one process, for most of these tests."""
    hub = TestHub(tmp_path_factory.mktemp("hub"))
    (hub.cwd / "photos").mkdir()
    random = np.random.default_rng(0)
    for number in range(IMAGES):
        image = cv2.resize(random.integers(0, 256, (60, 80, 3), np.uint8), (640, 480))
        (hub.cwd / "photos" / f"{number:03d}.jpg").write_bytes(cv2.imencode(".jpg", image)[1].tobytes())
    try:
        options = ("--monitor", "--monitor-port", 0, "--root", hub.cwd)
        hub.up(*ON_FREE_PORTS, *options, "--detector", "hog", "--concurrency", 1)
        yield hub
    finally:
        hub.producer("down")
    assert marked(hub.mark) == []


@pytest.fixture
def small(tmp_path: Path) -> Iterator[TestHub]:
    """One whose test starts it, with a broker only."""
    hub = TestHub(tmp_path)
    yield hub
    hub.producer("down")
    assert marked(hub.mark) == []


def test_one_command_brings_broker_dashboard_and_workers(hub: TestHub) -> None:
    with connect(hub.url) as client:
        asked = client.info()
        assert asked["aof_enabled"] and asked["maxmemory_policy"] == "noeviction"
        assert asked["listener0"]["bind"] == "127.0.0.1"
    for password in ("guess", *(hub.settings.passwords[role] for role in Role)):
        assert asked_flower(hub, password) == 401, "nobody who has a URL of the broker's is let in by that"
    assert asked_flower(hub, hub.settings.passwords[DASHBOARD]) == 200
    said = finish(hub.submission("--limit", 5))
    assert said.code == 0 and said.json["ok"] == 5, said.err
    assert hub.producer("url").out.strip() == hub.url


def test_everybody_has_a_user_and_a_password_of_their_own(hub: TestHub) -> None:
    urls = {role: hub.settings.url(role) for role in Role}
    assert hub.producer("url", "worker").out.strip() == urls[Role.WORKER] == hub.join_url
    assert len(set(hub.settings.passwords.values())) == 4
    said = hub.producer("submit", "photos", "--limit", 1, MANYEYES_BROKER_URL=urls[Role.WORKER])
    assert said.code == 1 and "user manyeyes-worker may not" in said.error and "producer url" in said.error
    refused = finish(start("worker", "start", "--join", urls[Role.MONITOR], cwd=hub.cwd))
    assert refused.code == 2 and "user manyeyes-monitor may not" in refused.error
    assert not valkey.answers(("127.0.0.1", hub.settings.port), hub.settings.passwords[Role.WORKER]), "without a name"


def test_prometheus_finds_metrics_at_the_address_that_up_shows(hub: TestHub) -> None:
    [line] = [line for line in hub.lines.splitlines() if line.startswith("for Prometheus")]
    seen = Metrics(line.split()[-1]).scrape()
    assert seen.one("manyeyes_broker_up") == seen.one("manyeyes_processes") == 1
    assert all(password not in seen.text for password in hub.settings.passwords.values())


def asked_flower(hub: TestHub, password: str) -> int:
    [line] = [line for line in hub.lines.splitlines() if line.startswith("dashboard")]
    login = b64encode(f"manyeyes:{password}".encode()).decode()
    request = urllib.request.Request(line.split()[1] + "/workers", headers={"Authorization": f"Basic {login}"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code


def test_nobody_else_can_read_the_password(hub: TestHub) -> None:
    assert hub.folder.path.stat().st_mode & 0o777 == 0o700
    assert (hub.folder.path / "hub.json").stat().st_mode & 0o777 == 0o600
    running = marked(hub.mark)
    assert len(running) >= 4
    assert not [process for process in running if hub.shows_a_password(" ".join(process.cmdline()))]
    for log in hub.folder.logs.glob("*.log"):
        assert not hub.shows_a_password(log.read_text())


def test_a_second_up_shows_the_same_lines_and_changes_nothing(hub: TestHub) -> None:
    lines, pids = hub.lines, hub.pids()
    assert "more workers here" in lines and "other machines" not in lines, "it listens on the loopback"
    said = hub.up("--detector", "cascade")
    assert "may read no file" not in said.err
    assert "runs already" in said.err and "keeps the options of its start" in said.err
    assert "keeps the options" not in hub.up("--detector", "hog").err
    assert (hub.lines, hub.pids()) == (lines, pids)


def test_workers_tells_who_is_there(hub: TestHub) -> None:
    def one() -> dict[str, Any]:
        [worker] = json.loads(hub.producer("workers", "--json", MANYEYES_BROKER_URL=hub.url).out)
        assert isinstance(worker, dict)
        return worker

    worker = one()
    assert worker["pid"] == hub.part("worker").pid and worker["host"] == socket.gethostname()
    assert (worker["alive"], worker["processes"]) == (1, 1)
    [serves] = worker["detectors"]
    assert serves["queue"].startswith("hog-") and serves["ms_per_image"] > 0
    run = hub.submission()
    wait_until(lambda: hub.workers()[0].at, what="a shard at work")
    [at] = one()["at"]
    assert at["run"] and at["images"] >= 1 and 0 <= at["done"] <= at["images"]
    assert finish(run).code == 0
    assert one()["last_image"] >= worker["started"]
    wait_until(lambda: not hub.workers()[0].at, what="rest")
    table = hub.producer("workers", MANYEYES_BROKER_URL=hub.url).out
    assert "1/1" in table and serves["queue"] in table and "idle" in table


@pytest.mark.parametrize("name", ["flower", "worker", "broker", "cargo"])
def test_what_is_killed_is_started_again(hub: TestHub, name: str) -> None:
    before = hub.pids()
    hub.kill(name)

    def again() -> bool:
        part = hub.part(name)
        return part.ready and part.pid != before[name]

    wait_until(again, what=f"another {name}")
    others = {"keeper", "broker", "cargo", "flower"} - {name}
    assert {other: hub.pids()[other] for other in others} == {other: before[other] for other in others}
    assert "killed by SIGKILL" in hub.part(name).how
    # It serves again, too.
    wait_until(lambda: hub.part("worker").pid in [one.pid for one in hub.workers()], what="the worker")


def test_a_run_outlives_the_death_of_the_whole_hub(hub: TestHub) -> None:
    """Given a run in its middle, when all is killed and `up` is typed again, then it is as it was, and the run ends."""
    lines = hub.lines
    with connect(hub.url) as client:
        client.hset(KEPT, "kept", "yes")
    run = hub.submission()
    wait_until(lambda: any(one.at for one in hub.workers()), what="a shard at work")
    for process in marked(hub.mark):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    wait_until(lambda: not marked(hub.mark), what="the end of all processes")
    assert "no hub runs" in hub.producer("url").error
    hub.up()
    assert hub.lines == lines
    with connect(hub.url) as client:
        assert client.hget(KEPT, "kept") == b"yes"
    said = finish(run)
    assert said.code == 0 and said.json["ok"] == IMAGES, said.err


def test_other_machines_join_by_text_or_file(hub: TestHub) -> None:
    (hub.cwd / "hub.url").write_text(hub.producer("url", "worker").out)
    joined = [
        start("worker", "start", "--detector", "cascade", "-c", "1", "--join", join, cwd=hub.cwd)
        for join in (hub.join_url, "hub.url")
    ]
    try:
        there = lambda: {one.pid: one for one in hub.workers() if one.alive}  # noqa: E731
        workers = wait_until(lambda: {one.pid for one in joined} <= there().keys() and there(), what="those who joined")
        for process in joined:
            assert workers[process.pid].detectors[0].queue.startswith("cascade-")
            family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            assert len(family) >= 2
            assert not [one for one in family if hub.shows_a_password(" ".join(one.cmdline()))], "not in `ps`"
    finally:
        for process in joined:
            process.terminate()
        assert [finish(process).code for process in joined] == [0, 0]


@pytest.mark.skipif(sys.platform != "linux", reason="needs the kernel's parent-death signal")
def test_nothing_of_a_hub_survives_its_keeper(small: TestHub) -> None:
    small.up(*ON_FREE_PORTS, "--no-workers", "--no-flower")
    small.kill("keeper")
    wait_until(lambda: not marked(small.mark), what="the end of the broker")
    # What a dead keeper wrote concerns nobody: not even where its numbers are those of others by now.
    foreign = subprocess.Popen(["sleep", "1000"])
    small.folder.write_status(Status(small.status.state, foreign.pid, (Part("broker", foreign.pid, ready=True),)))
    assert "nothing runs" in small.producer("down").out
    assert "no hub runs" in small.producer("url").error
    assert foreign.poll() is None
    foreign.kill()
    foreign.wait()
    # With its URL still set, every command says what is to be done.
    again = f"producer up --state {small.folder.path}"
    (small.cwd / "url").write_text(small.url)
    with_url = small.producer("doctor", "--json", MANYEYES_BROKER_URL=str(small.cwd / "url"))
    [said] = [one for one in json.loads(with_url.out) if one["level"] == "failed"]
    assert "this machine's hub" in said["words"] and "does not run" in said["words"] and again in said["remedy"]
    [said] = [one for one in json.loads(small.producer("doctor", "--json").out) if one["part"] == "hub"]
    assert said["remedy"] == again
    (small.cwd / "photo.jpg").touch()
    for command in (("workers",), ("status", "x"), ("submit", "photo.jpg")):
        refused = small.producer(*command, MANYEYES_BROKER_URL=small.url)
        assert "this machine's hub" in refused.error and again in refused.error
        assert not small.shows_a_password(refused.err)


def test_down_stops_all_saves_and_may_be_repeated(small: TestHub) -> None:
    said = small.up(*ON_FREE_PORTS, "--detector", "cascade", "-c", 1)
    assert "its workers may read no file" in said.err and "--root FOLDER" in said.err
    lines = small.lines
    assert small.join_url + " --detector cascade\n" in lines
    with connect(small.url) as client:
        client.hset(KEPT, "kept", "yes")
    said = small.producer("down")
    assert said.code == 0 and said.out.startswith("stopped: Flower, workers, cargo server, broker; kept in"), said.err
    assert marked(small.mark) == []
    assert "Calling fsync() on the AOF file" in (small.folder.logs / "broker.log").read_text()
    assert small.producer("down").out.startswith("nothing runs in")
    small.up("--no-workers", "--no-flower")
    assert small.join_url in lines, "the same port and password"
    with connect(small.url) as client:
        assert client.hget(KEPT, "kept") == b"yes"
    none = small.producer("workers", MANYEYES_BROKER_URL=small.url)
    assert (
        none.code == 0
        and "no worker" in none.err
        and "worker start" in none.err
        and not small.shows_a_password(none.err)
    )


def test_a_hub_of_an_earlier_version_keeps_its_address_and_data(small: TestHub) -> None:
    """Given a folder with one password for all, when `up` is typed, then each role has its own, and the old is none."""
    small.up(*ON_FREE_PORTS, "--no-workers", "--no-flower")
    with connect(small.url) as client:
        client.hset(KEPT, "kept", "yes")
    before = {name: value for name, value in asdict(small.settings).items() if name != "passwords"}
    earlier = {**before, "schema": 1, "password": "of-everybody"}
    (small.folder.path / "hub.json").write_text(json.dumps(earlier))
    assert "earlier version" in small.producer("up").error and "earlier version" in small.producer("url").error
    assert small.producer("down").code == 0
    small.up()
    after = asdict(small.settings)
    assert before == {name: value for name, value in after.items() if name != "passwords"}
    assert set(after["passwords"]) == {*Role, DASHBOARD} and "of-everybody" not in json.dumps(after)
    with connect(small.url) as client:
        assert client.hget(KEPT, "kept") == b"yes"
    assert not valkey.answers(("127.0.0.1", small.settings.port), "of-everybody")


def test_listening_for_others_warns_that_nothing_is_encrypted(small: TestHub) -> None:
    said = small.up("--listen", "0.0.0.0:0", "--no-workers", "--no-flower")
    assert "without encryption" in said.err
    assert "127.0.0.1" not in small.url and "0.0.0.0" not in small.url
    with connect(small.url) as client:
        assert client.ping()


def test_a_taken_port_is_one_line(small: TestHub) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = small.producer("up", "--listen", f"127.0.0.1:{port}")
        assert said.code == 2 and f"port {port} on 127.0.0.1 is taken" in said.error and "--listen" in said.error
        said = small.producer("up", "--listen", "127.0.0.1:0", "--flower-port", port)
        assert said.code == 2 and f"port {port}" in said.error and "--flower-port" in said.error
    assert not small.folder.running()


def test_a_worker_that_cannot_start_ends_the_whole_start(small: TestHub) -> None:
    said = small.producer("up", *ON_FREE_PORTS, "--no-flower", "--detector", "missing.onnx")
    assert said.code == 2 and said.error.startswith("worker: ") and "missing.onnx" in said.error
    assert not small.folder.running() and marked(small.mark) == []
    assert small.folder.read() is None, "the next one does not inherit it"


def test_a_state_folder_that_cannot_be_ours_is_refused(small: TestHub) -> None:
    (small.cwd / "file").write_text("")
    for folder, words in (("file", "cannot be used"), (".", "holds other things")):
        said = small.producer("up", "--state", folder)
        assert said.code == 2 and words in said.error and "--state" in said.error
    assert (small.cwd / "file").read_text() == ""


@pytest.mark.parametrize("text", ["7000", "a b", "host:99999", "", "host:port"])
def test_no_address_is_refused(small: TestHub, text: str) -> None:
    said = small.producer("up", "--listen", text)
    assert said.code == 2 and "--listen" in said.error


def test_workers_wants_a_broker(small: TestHub) -> None:
    said = small.producer("workers")
    assert said.code == 2 and "MANYEYES_BROKER_URL" in said.error


def test_a_join_that_is_no_address_and_no_file_is_named(tmp_path: Path) -> None:
    said = finish(start("worker", "start", "--join", "no-such-file", cwd=tmp_path))
    assert said.code == 2 and "no-such-file" in said.error and "producer url" in said.error
