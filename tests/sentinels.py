"""A master, a replica and Sentinels, real ones, for tests to kill."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from producer.cluster import valkey
from producer.cluster.prctl import die_with_parent
from tests.acceptance.brokers import free_port
from tests.waiting import wait_until

#: Of the servers, and of the Sentinels.
PASSWORD, SENTINELS_PASSWORD = "secret", "watchword"
NAME = "cameras"


@dataclass
class Watched:
    """Two servers by their ports, and who watches them by theirs."""

    servers: dict[int, subprocess.Popen[bytes]]
    sentinels: dict[int, subprocess.Popen[bytes]]

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.sentinels)
        return f"sentinel://:{PASSWORD}@{hosts}/0?master_name={NAME}&sentinel_password={SENTINELS_PASSWORD}"

    def server(self, port: int) -> redis.Redis:
        return redis.Redis(port=port, password=PASSWORD)

    @property
    def first(self) -> int:
        """The port of the first master."""
        return next(iter(self.servers))

    @property
    def master(self) -> int:
        """The port that all Sentinels name."""
        named = {self._ask(port)["port"] for port in self.sentinels}
        return int(named.pop()) if len(named) == 1 else 0

    def role(self, port: int) -> str:
        try:
            with self.server(port) as client:
                return str(client.role()[0].decode())
        except redis.RedisError:
            return "none"

    def _ask(self, port: int) -> dict[str, Any]:
        with redis.Redis(port=port, password=SENTINELS_PASSWORD) as client:
            found: dict[str, Any] = client.sentinel_master(NAME)
            return found

    def ready(self) -> bool:
        """They know each other and the replica, so a failover can be."""
        try:
            seen = [self._ask(port) for port in self.sentinels]
        except redis.RedisError:
            return False
        others = len(self.sentinels) - 1
        return all(one["num-slaves"] == 1 and one["num-other-sentinels"] == others for one in seen)


@contextmanager
def sentinels(folder: Path, count: int = 3) -> Iterator[Watched]:
    master, replica, *watchers = (free_port() for _ in range(2 + count))
    found = Watched({}, {})
    try:
        for port in (master, replica):
            (folder / str(port)).mkdir()
            text = valkey.volatile("127.0.0.1", port, valkey.password(PASSWORD), folder / str(port))
            text += f"\nmasterauth {PASSWORD}\nrepl-diskless-sync-delay 0\n".encode()
            if port == replica:
                text += f"replicaof 127.0.0.1 {master}\n".encode()
            found.servers[port] = valkey.spawn(valkey.server_path(), text, folder / f"{port}.log")
            wait_until(lambda port=port: found.role(port) != "none", what="a server")  # type: ignore[misc]
        for port in watchers:
            found.sentinels[port] = _sentinel(folder, port, master, count // 2 + 1)
        wait_until(found.ready, what="the Sentinels")
        yield found
    finally:
        for process in (*found.sentinels.values(), *found.servers.values()):
            process.kill()
            process.wait()


def _sentinel(folder: Path, port: int, master: int, quorum: int) -> subprocess.Popen[bytes]:
    # It rewrites its file.
    file = folder / f"sentinel-{port}.conf"
    file.write_text(
        f"bind 127.0.0.1\nport {port}\ndir {folder}\nrequirepass {SENTINELS_PASSWORD}\nset-proc-title no\n"
        f"sentinel monitor {NAME} 127.0.0.1 {master} {quorum}\nsentinel auth-pass {NAME} {PASSWORD}\n"
        f"sentinel down-after-milliseconds {NAME} 1000\nsentinel failover-timeout {NAME} 5000\n"
    )
    with (folder / f"sentinel-{port}.log").open("ab") as log:
        return subprocess.Popen(
            [valkey.server_path(), file, "--sentinel"],
            stdout=log,
            stderr=log,
            preexec_fn=die_with_parent(),  # noqa: PLW1509 - one prctl; no other thread holds a lock
        )
