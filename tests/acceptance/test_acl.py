"""A whole run of everything, each part as its own user of a real server, of which nothing may be refused anybody."""

from __future__ import annotations

import json
import socket
import subprocess
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common.protocol import heartbeats
from producer.cluster import valkey
from producer.cluster.acl import Role
from tests.acceptance.commands import Said, finish, producer, start
from tests.acceptance.workers import a_worker
from tests.failure import poison
from tests.guarded import Guarded, guarded
from tests.waiting import wait_until

IMAGES = 60
LOGIN = "looker:on"


class Scene:
    """A dataset with an image that kills its process, and commands with each user's URL."""

    def __init__(self, folder: Path, server: Guarded) -> None:
        self.made = poison.make(folder, IMAGES, ["segfault"])
        self.server, self.folder = server, folder

    def worker(self, name: str) -> Any:
        home = self.folder / name
        home.mkdir()
        command = ["worker", "start", "--detector", "poisonable,cascade", "-c", "2"]
        return a_worker(command, home, self.server.url(Role.WORKER), 2, **self.made.environment)

    def producer(self, *arguments: object, role: Role = Role.PRODUCER) -> Said:
        return producer(*arguments, cwd=self.folder, MANYEYES_BROKER_URL=self.server.url(role))

    def submission(self, *options: object) -> subprocess.Popen[str]:
        command = ("producer", "submit", "photos", "--detector", "poisonable", "--json", *options)
        return start(*command, cwd=self.folder, MANYEYES_BROKER_URL=self.server.url(Role.PRODUCER))

    def slow_submission(self) -> subprocess.Popen[str]:
        """In its middle, of images that all can be looked at."""
        self.made.pace(2)
        before = self.newest_run()
        run = self.submission("--limit", 8)
        wait_until(lambda: self.newest_run() != before, what="the run's id")
        self.await_work()
        return run

    def newest_run(self) -> str:
        return max((run.name for run in (self.folder / "runs").glob("*")), default="")

    def await_work(self) -> None:
        """On the newest run: a process's last word may still be of the one before."""
        newest = self.newest_run()
        with self.server.client(Role.MONITOR) as client:
            wait_until(
                lambda: any(beat.shard and beat.run == newest for beat in heartbeats.live_processes(client)),
                what="a shard at work",
            )


@contextmanager
def flower(url: str, folder: Path) -> Iterator[str]:
    """Its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = {"FLOWER_PORT": str(port), "FLOWER_ADDRESS": "127.0.0.1", "FLOWER_BASIC_AUTH": LOGIN}
    process = start("celery", "-A", "worker.app", "flower", cwd=folder, MANYEYES_BROKER_URL=url, **options)
    try:
        wait_until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0, what="Flower")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.communicate(timeout=30)


def asked(url: str) -> str:
    request = urllib.request.Request(url, headers={"Authorization": f"Basic {b64encode(LOGIN.encode()).decode()}"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return str(answer.read().decode())


def test_everybody_does_their_work_and_is_refused_nothing(tmp_path: Path) -> None:
    with guarded(valkey.server_path(), tmp_path) as server:
        scene = Scene(tmp_path, server)
        with flower(server.url(Role.MONITOR), tmp_path) as dashboard:
            with scene.worker("first"):
                shipped = finish(scene.submission("--transport", "redis"))
                assert shipped.code == 3, shipped.err
                assert shipped.json["errors"] == {"crashed": 1}
                [seen] = json.loads(asked(f"{dashboard}/api/workers?refresh=1")).values()
                assert len(seen["active_queues"]) == 2, "Flower has asked, and heard the answer"
                assert "SUCCESS" in asked(f"{dashboard}/api/tasks"), "Flower hears events"
                asked(f"{dashboard}/broker")
                health = start("worker", "health", cwd=tmp_path, MANYEYES_BROKER_URL=server.url(Role.WORKER))
                assert finish(health).code == 0
                for role in (Role.PRODUCER, Role.MONITOR):
                    assert "poisonable-" in scene.producer("workers", role=role).out
                run = scene.slow_submission()
                assert server.admin(server.port).exists("manyeyes:unacked"), "kept until it is acknowledged"
                assert scene.producer("pause").code == scene.producer("unpause").code == 0
                scene.await_work()
                # The worker ends in the middle of a run, and hands its shards and messages back.
            scene.made.pace(0)
            with scene.worker("second"):
                assert finish(run).code == 0
                run = scene.slow_submission()
                run.terminate()
                assert finish(run).code == 130
                scene.made.pace(0)
                assert scene.producer("resume").code == 0
                run = scene.slow_submission()
                assert scene.producer("cancel").code == 0 and finish(run).code == 5
        assert server.refused() == []
