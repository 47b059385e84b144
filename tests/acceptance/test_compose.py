"""The compose file on a real engine: one stack, scaled, hurt and asked for its receipt. Skipped without an engine."""

from __future__ import annotations

import base64
import json
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import cv2
import numpy as np
import pytest

from tests.acceptance.stacks import CHECKOUT, IMAGE, Stack, compose_command, docker
from tests.waiting import wait_until

#: The first to come may have to build the image.
pytestmark = pytest.mark.timeout(600)
#: Enough for hog that all that is done to the stack is done in the middle of a run.
IMAGES = 120
#: Bytes that the image may add to `python:3.12-slim`, which has some 125 MB.
ADDED = 590_000_000


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    command = compose_command()
    if command is None:
        pytest.skip(
            "no Docker engine answers, or there is no compose: `docker info` and `docker compose version` say why"
        )
    stack = Stack(command, tmp_path_factory.mktemp("stack"))
    folders = (f"DATA={stack.folder}/photos", f"RUNS={stack.runs}")
    subprocess.run(["make", "compose-init", f"ENV_FILE={stack.folder}/.env", *folders], cwd=CHECKOUT, check=True)
    random = np.random.default_rng(0)
    for number in range(IMAGES):
        image = cv2.resize(random.integers(0, 256, (60, 80, 3), np.uint8), (480, 360))
        (stack.folder / "photos" / f"{number:03d}.jpg").write_bytes(cv2.imencode(".jpg", image)[1].tobytes())
    try:
        stack.well("build", "worker")
        stack.well("up", "--detach", "--scale", "worker=2")
        yield stack
    finally:
        stack.compose("--profile", "producer", "down", "--volumes", "--remove-orphans")


def test_a_run_survives_more_workers_a_killed_one_and_a_restarted_broker(stack: Stack) -> None:
    run = stack.start("run", "--rm", "-T", "producer", "submit", "/data", "--json")
    wait_until(lambda: done(stack) > 0 or run.poll() is not None, timeout=120, what="the first result")
    [one, _] = stack.containers("worker")
    docker("kill", one["Id"])
    stack.well("restart", "broker")
    # The killed one too: compose starts what does not run.
    stack.well("up", "--detach", "--no-recreate", "--scale", "worker=3", "worker")
    assert run.poll() is None, "all of that was in the middle of the run"
    said = stack.finish(run)
    assert said.code == 0 and said.json["ok"] == IMAGES, said.err
    receipt = stack.compose("run", "--rm", "-T", "producer", "verify", "--deep", "--json")
    assert receipt.code == 0, receipt.out + receipt.err
    assert len(json.loads(stack.well("run", "--rm", "-T", "producer", "workers", "--json"))) >= 3
    owner = int(stack.values()["RUN_AS"].partition(":")[0])
    assert owner == (os.getuid() or 10001)
    assert {path.stat().st_uid for path in stack.runs.rglob("*")} == {owner}
    assert all(path.stat().st_mode & stat.S_IRUSR for path in stack.runs.rglob("*"))


def done(stack: Stack) -> int:
    """Images of the one run that are on disk, as its owner says."""
    return sum(int(json.loads(path.read_text())["done"]) for path in stack.runs.glob("*/progress.json"))


def test_no_container_is_root_can_write_or_shows_a_password(stack: Stack) -> None:
    containers = stack.containers()
    assert {one["Config"]["Labels"]["com.docker.compose.service"] for one in containers} >= {
        "broker",
        "worker",
        "flower",
    }
    secrets = [value for name, value in stack.values().items() if name.endswith("PASSWORD")]
    assert len(set(secrets)) == len(secrets) == 5 and all(len(secret) == 32 for secret in secrets)
    for one in containers:
        host, said = one["HostConfig"], one["Name"]
        assert one["Config"]["User"].partition(":")[0] not in ("", "0", "root"), said
        assert host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"] and not host["Privileged"], said
        assert any(option.startswith("no-new-privileges") for option in host["SecurityOpt"]), said
        words = json.dumps([one["Path"], one["Args"], one["Config"].get("Healthcheck")])
        assert not any(secret in words for secret in secrets), said
        published = [where["HostIp"] for ports in host["PortBindings"].values() for where in ports or []]
        assert set(published) <= {"127.0.0.1"}, said
    assert not any(one["HostConfig"]["PortBindings"] for one in stack.containers("broker"))


def test_the_dashboard_wants_its_password_and_the_monitor_sees_the_broker(stack: Stack) -> None:
    flower = f"http://127.0.0.1:{stack.port('flower', 5555)}/"
    wait_until(lambda: answers(flower) == 401, timeout=120, what="Flower refuses who has no password")
    login = base64.b64encode(f"manyeyes:{stack.values()['FLOWER_PASSWORD']}".encode()).decode()
    assert answers(flower, Authorization=f"Basic {login}") == 200
    metrics = f"http://127.0.0.1:{stack.port('monitor', 9808)}/metrics"
    with urlopen(metrics, timeout=10) as answer:
        assert "manyeyes_broker_up 1.0" in answer.read().decode()


def answers(url: str, **headers: str) -> int:
    """The status; 0 while nobody listens."""
    try:
        with urlopen(Request(url, headers=headers), timeout=10) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code
    except OSError:
        return 0


def test_the_image_is_small_and_says_its_version(stack: Stack) -> None:
    [image, base] = json.loads(docker("inspect", IMAGE, "python:3.12-slim"))
    assert image["Size"] - base["Size"] < ADDED
    version = image["Config"]["Labels"]["org.opencontainers.image.version"]
    assert (
        docker("run", "--rm", "--read-only", "--user", "4321", IMAGE, "producer", "--version")
        == f"manyeyes {version}\n"
    )


def test_without_its_passwords_nothing_starts(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / ".env").touch()
    said = Stack(stack.command, tmp_path, stack.project).compose("config")
    assert said.code != 0 and "run make compose-init" in said.err
