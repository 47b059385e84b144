"""A Flower that a test starts as its user would, and what its pages say."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import requests

from tests.acceptance.commands import BIN, environment
from tests.waiting import wait_until

#: Seconds for a page.
_PAGE_S = 20


@dataclass(frozen=True)
class Flower:
    process: subprocess.Popen[str]
    log: Path

    def said(self, pattern: str) -> str | None:
        found = re.search(pattern, self.log.read_text())
        return found and found[1]

    @property
    def address(self) -> str:
        return wait_until(lambda: self.said(r"Visit me at (http://\S+)"), what="Flower's address")

    @property
    def login(self) -> tuple[str, str]:
        """As it has shown it."""
        password = wait_until(lambda: self.said(r"dashboard: user manyeyes, password (\S+);"), what="a password")
        return "manyeyes", password

    @property
    def listens(self) -> set[str]:
        found = psutil.Process(self.process.pid).net_connections()
        return {one.laddr.ip for one in found if one.status == psutil.CONN_LISTEN}

    def ask(self, path: str, login: tuple[str, str] | None, method: str = "GET", **fields: Any) -> requests.Response:
        return requests.request(method, self.address + path, auth=login, data=fields, timeout=_PAGE_S)

    def rows(self, login: tuple[str, str] | None) -> list[dict[str, Any]]:
        """What the page of tasks shows, by the request that it makes."""
        order = {"order[0][column]": 0, "order[0][dir]": "asc", "columns[0][data]": "received", "search[value]": ""}
        answer = self.ask("/tasks/datatable", login, "POST", draw=1, start=0, length=100, **order)
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()["data"]
        return found


@contextmanager
def a_flower(cwd: Path, broker: str, *options: str, **extra: str) -> Iterator[Flower]:
    """`celery -A worker.app flower` in some folder, on a free port, until the block ends; then it is told to end."""
    log = cwd / "flower.log"
    with log.open("w") as words:
        process = subprocess.Popen(
            [BIN / "celery", "-A", "worker.app", "flower", "--port=0", *options],
            cwd=cwd,
            env=environment(MANYEYES_BROKER_URL=broker, MANYEYES_CACHE=str(cwd / "cache"), **extra),
            stdin=subprocess.DEVNULL,
            stdout=words,
            stderr=words,
            text=True,
        )
    try:
        wait_until(lambda: "Visit me at" in log.read_text() or process.poll() is not None, what="Flower")
        assert process.poll() is None, log.read_text()
        yield Flower(process, log)
    finally:
        process.terminate()
        process.wait(timeout=30)
