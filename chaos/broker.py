"""A folder in, a Valkey out that keeps an append-only file, and can be killed and started again on the same socket."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import redis

from common.broker import connect
from common.errors import BrokerError
from producer import valkey
from producer.prctl import die_with_parent

#: Seconds between looks at whether it answers yet.
_POLL_S = 0.01


class Broker:
    """One server at a time. Its folder is private, so it needs no password."""

    def __init__(self, log: Path) -> None:
        self.folder = valkey.Address.new().folder
        self.folder.mkdir(mode=0o700)
        self.socket = self.folder / "v.sock"
        self.url = f"redis+socket://{self.socket}?virtual_host=0"
        self._data = self.folder / "data"
        self._copy = self.folder / "older"
        self._log = log
        self._server: subprocess.Popen[bytes] | None = None
        self._client: redis.Redis | None = None

    @property
    def client(self) -> redis.Redis:
        """Connected anew after each start."""
        if self._client is None:
            self._client = connect(self.url)
        return self._client

    def start(self) -> None:
        """Returns when it answers, its file loaded. Raises BrokerError."""
        self._data.mkdir(exist_ok=True)
        options = {
            "port": "0",
            "unixsocket": os.fspath(self.socket),
            "dir": os.fspath(self._data),
            "appendonly": "yes",
            "save": "",
            "maxmemory-policy": "noeviction",
            "set-proc-title": "no",
        }
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        with self._log.open("ab") as output:
            self._server = subprocess.Popen(
                [valkey.server_path(), *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                process_group=0,
                preexec_fn=die_with_parent(),  # noqa: PLW1509 - one prctl; no other thread holds a lock
            )
        deadline = time.monotonic() + valkey.START_S
        while not self._answers():
            if self._server.poll() is not None or time.monotonic() > deadline:
                raise BrokerError(f"the storm's Valkey did not start; {self._log} says why")
            time.sleep(_POLL_S)

    def kill(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
        if self._server is not None:
            self._server.kill()
            self._server.wait()
            self._server = None
        # Or an answer would be waited for on a socket that nobody holds.
        self.socket.unlink(missing_ok=True)

    def copy_file(self) -> None:
        """Keep what it has on disk now, for `put_back`."""
        shutil.rmtree(self._copy, ignore_errors=True)
        shutil.copytree(self._data, self._copy)

    def put_back(self) -> None:
        """Only while it is dead: its files become those of the last `copy_file`."""
        self.forget()
        self._copy.rename(self._data)

    def forget(self) -> None:
        """Only while it is dead: it has no files."""
        shutil.rmtree(self._data)

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _answers(self) -> bool:
        if not self.socket.exists():
            return False
        with redis.Redis(unix_socket_path=str(self.socket), socket_timeout=1.0) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False
