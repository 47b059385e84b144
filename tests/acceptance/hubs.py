"""A hub that a test starts, and what its user sees of it."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from common.broker.connect import connect
from producer.cluster.acl import Role
from producer.cluster.hub.settings import HubSettings
from producer.cluster.hub.state_folder import HubFolder, Part, Status
from producer.monitor import workers as listing
from producer.monitor.workers import WorkerLine
from tests.acceptance.commands import Said, producer, start

ON_FREE_PORTS = ("--listen", "127.0.0.1:0", "--flower-port", "0")


@dataclass
class TestHub:
    """A hub of a test's own, by what a user sees of it and what its keeper says."""

    __test__ = False
    cwd: Path
    lines: str = ""
    mark: str = field(default_factory=lambda: os.urandom(8).hex())

    @property
    def folder(self) -> HubFolder:
        return HubFolder(self.cwd / "state")

    def producer(self, *arguments: object, **extra: str) -> Said:
        return producer(*arguments, cwd=self.cwd, **self.environment, **extra)

    @property
    def environment(self) -> dict[str, str]:
        return {"MANYEYES_STATE": str(self.folder.path), "MANYEYES_TEST_MARK": self.mark}

    def up(self, *options: object) -> Said:
        said = self.producer("up", *options)
        assert said.code == 0, said.err
        self.lines = said.out
        return said

    @property
    def join_url(self) -> str:
        [join] = [line for line in self.lines.splitlines() if "worker start --join " in line]
        return join.split("--join ")[1].split()[0]

    @property
    def url(self) -> str:
        """A producer's, without the price of a command."""
        return self.settings.url(Role.PRODUCER)

    @property
    def settings(self) -> HubSettings:
        return HubSettings(**(self.folder.read() or {}))

    def shows_a_password(self, text: str) -> bool:
        return any(password in text for password in self.settings.passwords.values())

    @property
    def status(self) -> Status:
        status = self.folder.status()
        assert status is not None
        return status

    def part(self, name: str) -> Part:
        part = self.status.part(name)
        assert part is not None
        return part

    def pids(self) -> dict[str, int | None]:
        return {"keeper": self.status.keeper, **{part.name: part.pid for part in self.status.parts}}

    def kill(self, name: str) -> None:
        pid = self.pids()[name]
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

    def workers(self) -> list[WorkerLine]:
        """Without the price of a command."""
        with connect(self.url) as client:
            return listing.lines(client)

    def submission(self, *options: object) -> subprocess.Popen[str]:
        command = ("producer", "submit", "photos", "--json", *options)
        return start(*command, cwd=self.cwd, MANYEYES_BROKER_URL=self.url)
