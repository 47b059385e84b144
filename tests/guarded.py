"""Servers whose users are those of `producer acl`, and one more, by whom a test looks at what was refused."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

from common.broker.connect import client
from common.protocol.relay import PORT_KEY
from producer.cluster import acl, valkey
from producer.cluster.acl import Role
from tests.waiting import wait_until

ADMIN = "an-admin"


@dataclass(frozen=True)
class Guarded:
    """A broker and its cargo server."""

    port: int
    cargo_port: int

    def url(self, role: Role) -> str:
        return f"redis://{role.user}:{password_of(role)}@127.0.0.1:{self.port}/0"

    def client(self, role: Role) -> redis.Redis:
        return client(self.url(role))

    def admin(self, port: int) -> redis.Redis:
        return client(f"redis://{ADMIN}:{ADMIN}@127.0.0.1:{port}/0")

    def refused(self) -> list[str]:
        """All that the servers have refused so far, a line each."""
        return [
            f"{entry['username'].decode()} {entry['context'].decode()} {entry['object'].decode()}"
            for port in (self.port, self.cargo_port)
            for entry in self.admin(port).acl_log(128)
        ]

    def forget(self) -> None:
        for port in (self.port, self.cargo_port):
            self.admin(port).acl_log_reset()


@contextmanager
def guarded(server: Path, folder: Path) -> Iterator[Guarded]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        found = Guarded(one.getsockname()[1], other.getsockname()[1])
    started: list[subprocess.Popen[bytes]] = []
    try:
        for port in (found.port, found.cargo_port):
            text = valkey.volatile("127.0.0.1", port, _users(), folder)
            started.append(_started(server, text, port, folder))
        found.admin(found.port).set(PORT_KEY, found.cargo_port)
        yield found
    finally:
        for process in started:
            process.kill()
            process.wait()


def _started(server: Path, text: bytes, port: int, folder: Path) -> subprocess.Popen[bytes]:
    process = valkey.spawn(server, text, folder / "broker.log")
    wait_until(lambda: valkey.answers(("127.0.0.1", port), ADMIN, ADMIN), what="the server")
    return process


@contextmanager
def lasting(server: Path, folder: Path) -> Iterator[tuple[Guarded, Callable[[], None]]]:
    """A broker with an append-only file, as a hub's, and how to kill it and start it again."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        found = Guarded(free.getsockname()[1], 0)
    text = valkey.durable("127.0.0.1", found.port, _users(), folder)
    running = [_started(server, text, found.port, folder)]

    def end() -> None:
        running[0].kill()
        running.pop().wait()

    def again() -> None:
        end()
        running.append(_started(server, text, found.port, folder))

    try:
        yield found, again
    finally:
        end()


def _users() -> list[str]:
    return [*acl.lines({role: password_of(role) for role in Role}), f"user {ADMIN} on >{ADMIN} ~* &* +@all"]


def servers() -> Sequence[Path]:
    """The wheel's Valkey, and the machine's Redis where there is one that knows what it must: from 7.0 on."""
    installed = shutil.which("redis-server")
    if installed is None:
        return (valkey.server_path(),)
    version = subprocess.run(
        [installed, "--version"], capture_output=True, text=True, check=True, env=os.environ
    ).stdout
    new = int(version.partition("v=")[2].partition(".")[0]) >= 7
    return (valkey.server_path(), Path(installed)) if new else (valkey.server_path(),)


def password_of(role: Role) -> str:
    return f"of-the-{role}"
