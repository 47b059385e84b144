"""`--listen` in, hosts and ports out: where to bind, what others type, what is taken."""

from __future__ import annotations

import errno
import ipaddress
import os
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

from common.errors import UsageError

LOOPBACK = "127.0.0.1"
#: Not 6379, which a Redis of the machine's own has; and nobody's either.
DEFAULT_PORT = 6389
DEFAULT_FLOWER_PORT = 5555
DEFAULT_MONITOR_PORT = 9808
#: Seconds for which a port may still be held by what was just killed.
_DYING_S = 1.0
#: Seconds that a connection may take.
_LISTENING_S = 1.0
#: `HOST`, `HOST:PORT`, `:PORT`, `[IPV6]:PORT` or a bare IPv6 address.
_LISTEN = re.compile(
    r"(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<bare>[0-9a-fA-F]*:[0-9a-fA-F]*:[0-9a-fA-F:.]*)|(?P<host>[A-Za-z0-9_.-]*))"
    r"(?::(?P<port>[0-9]{1,5}))?"
)


@dataclass(frozen=True, slots=True)
class Listen:
    """What was typed; None: not said."""

    host: str | None
    port: int | None

    @classmethod
    def parse(cls, text: str) -> Listen:
        """Raises UsageError."""
        found = _LISTEN.fullmatch(text)
        host = found and (found["six"] or found["bare"] or found["host"] or None)
        port = int(found["port"]) if found and found["port"] else None
        if not found or (host is None and port is None) or (host or "").isdigit() or (port or 0) > 65535:
            raise UsageError(
                f"--listen {text} is no address; give HOST or HOST:PORT, like 0.0.0.0 or 192.168.1.5:{DEFAULT_PORT}"
            )
        return cls(host, port)


def is_wildcard(host: str) -> bool:
    return host in ("0.0.0.0", "::")


def is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def local_host(host: str) -> str:
    """How processes of this machine reach what listens there."""
    return {"0.0.0.0": LOOPBACK, "::": "::1"}.get(host, host)


def outside_host(host: str) -> str:
    """How other machines reach it: for a wildcard, this machine's address on its way out."""
    if not is_wildcard(host):
        return host
    family, far = (socket.AF_INET6, "2001:db8::1") if host == "::" else (socket.AF_INET, "192.0.2.1")
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((far, 9))  # sends nothing: the kernel only chooses the way
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostname()


def of_machine() -> Iterator[str]:
    """By which others may call this machine."""
    import psutil  # slow to load, for those who only bind

    yield from ("localhost", "127.0.0.1", "::1", os.uname().nodename, socket.getfqdn())
    for interface in psutil.net_if_addrs().values():
        for address in interface:
            if address.family in (socket.AF_INET, socket.AF_INET6):
                yield address.address.partition("%")[0]


def listens(host: str, port: int) -> bool:
    """Whether somebody takes connections there."""
    try:
        socket.create_connection((host, port), _LISTENING_S).close()
    except OSError:
        return False
    return True


def in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def claim_port(host: str, port: int, option: str) -> int:
    """The port, which is free; for 0, one that is. Raises UsageError that names what is taken, and the `option`."""
    deadline = time.monotonic() + _DYING_S
    while True:
        try:
            return _bind(host, port)
        except OSError as error:
            if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
                raise UsageError(
                    f"--listen {host} is no address of this machine; give one of its own, or 0.0.0.0 for all"
                ) from None
            if error.errno != errno.EADDRINUSE:
                raise UsageError(f"cannot listen on port {port} of {host} ({error.strerror}); try {option}") from None
            if time.monotonic() >= deadline:
                raise UsageError(
                    f"port {port} on {host} is taken by another program; choose another: {option}"
                ) from None
            time.sleep(0.05)


def free_port(host: str, port: int) -> int:
    """This one if it is free, else another."""
    try:
        return _bind(host, port)
    except (OSError, OverflowError):
        return _bind(host, 0)


def _bind(host: str, port: int) -> int:
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
        return int(probe.getsockname()[1])
