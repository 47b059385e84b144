"""A Docker engine and this checkout in, the stack of docker-compose.yml out, as a user brings it up."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.acceptance.commands import Said

CHECKOUT = Path(__file__).parents[2]
IMAGE = "manyeyes:test"
#: Seconds. For a build from nothing on a busy machine.
_LIMIT_S = 300


def compose_command() -> list[str] | None:
    """`docker compose` or `docker-compose`; None where there is neither, or no engine that answers."""
    if not _works("docker", "info"):
        return None
    commands = (["docker", "compose"], ["docker-compose"])
    return next((command for command in commands if _works(*command, "version")), None)


def _works(*command: str) -> bool:
    return (
        shutil.which(command[0]) is not None
        and subprocess.run(command, check=False, capture_output=True).returncode == 0
    )


@dataclass(frozen=True)
class Stack:
    """One that is the test's own: its project, its image's tag, ports that are free, an .env in its folder."""

    command: list[str]
    folder: Path
    project: str = field(default_factory=lambda: f"manyeyes-test-{os.urandom(4).hex()}")

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    def values(self) -> dict[str, str]:
        """What `make compose-init` has written."""
        lines = (self.folder / ".env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        given = {
            "MANYEYES_IMAGE": IMAGE,
            "CONCURRENCY": "1",
            "FLOWER_LISTEN": "127.0.0.1:0",
            "MONITOR_LISTEN": "127.0.0.1:0",
        }
        options = ("--project-name", self.project, "--env-file", self.folder / ".env")
        return subprocess.Popen(
            [*self.command, *map(str, (*options, *arguments))],
            cwd=CHECKOUT,
            env=os.environ | given,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def compose(self, *arguments: object) -> Said:
        return self.finish(self.start(*arguments))

    def finish(self, process: subprocess.Popen[str]) -> Said:
        out, err = process.communicate(timeout=_LIMIT_S)
        return Said(process.returncode, out, err)

    def well(self, *arguments: object) -> str:
        said = self.compose(*arguments)
        assert said.code == 0, said.out + said.err
        return said.out

    def containers(self, service: str = "") -> list[dict[str, Any]]:
        """What the engine knows of each, its command line included; also of those that have ended."""
        names = docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={self.project}").split()
        found = json.loads(docker("inspect", *names))
        label = "com.docker.compose.service"
        return [one for one in found if service in ("", one["Config"]["Labels"][label])]

    def port(self, service: str, inside: int) -> int:
        return int(self.well("port", service, inside).strip().rpartition(":")[2])


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True, timeout=60).stdout
