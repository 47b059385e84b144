"""A folder in, a Valkey out that keeps a file, and can be killed, hung, demoted and given another password."""

from __future__ import annotations

import secrets
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from common.broker.connect import client
from common.errors import BrokerError
from producer.cluster import valkey

#: Seconds between looks at whether it answers yet.
_POLL_S = 0.01
#: Commands in its file, at least, when it is to load slowly: it looks for clients after each 1024.
_SLOW_COMMANDS = 20_000
#: Seconds that a sleep of the server's takes longer than what it was told.
_SLEEP_MORE_S = 100e-6
#: The key that fills its file.
_FILLER = "chaos:filler"
#: Of every server: nothing is saved but the append-only file, nothing forgotten, the environment kept in `ps`.
_ALWAYS = ('save ""', "maxmemory-policy noeviction", "set-proc-title no")


class Broker:
    """One server at a time. Its folder is private; in it is the file from which the others read its URL."""

    def __init__(self, log: Path) -> None:
        self.folder = valkey.Address.new().folder
        self.folder.mkdir(mode=0o700)
        self.socket = self.folder / "v.sock"
        self.url_file = self.folder / "broker.url"
        #: True while it is up and does not do its work: hung, demoted, or with a password that nobody knows.
        self.out = False
        self._data = self.folder / "data"
        self._copy = self.folder / "older"
        self._log = log
        self._server: subprocess.Popen[bytes] | None = None
        self._primary: subprocess.Popen[bytes] | None = None
        self._hung = False
        self._client: redis.Redis | None = None
        self._password = secrets.token_hex(16)
        self.publish()

    @property
    def url(self) -> str:
        """With the password that it has now, which may not be in the file yet."""
        return f"redis+socket://:{self._password}@{self.socket}?virtual_host=0"

    @property
    def client(self) -> redis.Redis:
        """Another one after each start. Raises redis.ConnectionError, at once, while the server hangs."""
        if self._hung:
            raise redis.ConnectionError("the broker hangs")
        if self._client is None:
            self._client = client(self.url)
        return self._client

    def start(self, load_s: float = 0.0) -> None:
        """Returns when it answers, its file loaded; or, where that is to take `load_s`, once it says that it loads.

        Raises BrokerError.
        """
        self._data.mkdir(exist_ok=True)
        lines = [
            "port 0",
            f'unixsocket "{self.socket}"',
            f'dir "{self._data}"',
            "appendonly yes",
            *_ALWAYS,
            *valkey.password(self._password),
        ]
        if load_s:
            lines.append(f"key-load-delay {self._delay_us(load_s)}")
        self._server = valkey.spawn(valkey.server_path(), _text(lines), self._log)
        deadline = time.monotonic() + valkey.START_S
        while not self._answers(loading=bool(load_s)):
            if self._server.poll() is not None or time.monotonic() > deadline:
                raise BrokerError(f"the storm's Valkey did not start; {self._log} says why")
            time.sleep(_POLL_S)

    def kill(self) -> None:
        self._disconnect()
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

    def fill(self) -> None:
        """Its file is to be long enough that it answers now and then while it loads slowly."""
        with self.client.pipeline(transaction=False) as pipe:
            for number in range(_SLOW_COMMANDS):
                pipe.set(_FILLER, number)
            pipe.delete(_FILLER)
            pipe.execute()

    def hang(self) -> None:
        """STOP: connections are still taken, by the kernel, and nothing is answered."""
        assert self._server is not None
        self.out = self._hung = True
        self._server.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._server is not None
        self._server.send_signal(signal.SIGCONT)
        self.out = self._hung = False

    def demote(self, stale: bool) -> None:
        """To a replica of a server that is not there. Where not `stale`, it refuses to read too: MASTERDOWN."""
        self.client.config_set("replica-serve-stale-data", "yes" if stale else "no")
        # Nobody listens there: ports below 1024 are the system's.
        self.client.replicaof("127.0.0.1", "1")
        self.out = True

    def demote_to_empty(self) -> None:
        """To a replica of a new server, whose nothing replaces what it has."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        lines = [f"port {port}", "bind 127.0.0.1", f'dir "{self.folder}"', "repl-diskless-sync-delay 0", *_ALWAYS]
        self._primary = valkey.spawn(valkey.server_path(), _text([*lines, *valkey.password(self._password)]), self._log)
        self.client.config_set("primaryauth", self._password)
        self.client.replicaof("127.0.0.1", str(port))
        self.out = True

    def promote(self) -> None:
        self.client.replicaof("NO", "ONE")
        self._end_primary()
        self.out = False

    def rotate(self) -> None:
        """Another password, and everybody's connection cut; `publish` makes it known."""
        word = secrets.token_hex(16)
        self.client.config_set("requirepass", word)
        for sort in ("normal", "pubsub"):
            self.client.client_kill_filter(_type=sort, skipme=True)
        self._disconnect()
        self._password = word
        self.out = True

    def publish(self) -> None:
        """The file has the URL, at once for whoever reads it."""
        part = self.url_file.with_suffix(".part")
        part.touch(mode=0o600)
        part.write_text(f"{self.url}\n")
        part.replace(self.url_file)
        self.out = False

    def close(self) -> None:
        self._end_primary()
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end_primary(self) -> None:
        if self._primary is not None:
            self._primary.kill()
            self._primary.wait()
            self._primary = None

    def _disconnect(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _delay_us(self, load_s: float) -> int:
        """Microseconds that it is to sleep after each command of its file."""
        files = self._data.glob("appendonlydir/*.incr.aof")
        commands = sum(file.read_bytes().count(b"\r\n*") for file in files)
        return max(round((load_s / commands - _SLEEP_MORE_S) * 1e6), 1)

    def _answers(self, loading: bool) -> bool:
        if not self.socket.exists():
            return False
        with client(self.url) as asked:
            asked.set_retry(Retry(NoBackoff(), 0))
            try:
                return bool(asked.ping())
            except redis.BusyLoadingError:
                return loading
            except redis.RedisError:
                return False


def _text(lines: list[str]) -> bytes:
    return "\n".join([*lines, ""]).encode()
