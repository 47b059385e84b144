"""Real TLS brokers for tests: the Valkey or Redis on the PATH if it has TLS (the wheel's has none)."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.authority import Authority, Pair
from tests.waiting import wait_until

PASSWORD = "open-sesame"


@contextmanager
def tls_server(folder: Path, authority: Authority, pair: Pair, clients: bool = False) -> Iterator[int]:
    """Its port. `clients`: they must show a certificate of the authority's. Skips where no server has TLS."""
    program = shutil.which("valkey-server") or shutil.which("redis-server")
    if program is None:
        pytest.skip("no valkey-server or redis-server with TLS on the PATH: install your system's valkey or redis")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    lines = (
        *("port 0", f"tls-port {port}", "bind 127.0.0.1", f"dir {folder}", 'save ""', f"requirepass {PASSWORD}"),
        *(f"tls-cert-file {pair.certificate}", f"tls-key-file {pair.key}", f"tls-ca-cert-file {authority.file}"),
        f"tls-auth-clients {'yes' if clients else 'no'}",
    )
    log = folder / f"tls-{port}.log"
    with log.open("w") as words:
        server = subprocess.Popen([program, "-"], stdin=subprocess.PIPE, stdout=words, stderr=words)
    try:
        server.communicate("\n".join(lines).encode(), timeout=0.1)
    except subprocess.TimeoutExpired:
        wait_until(lambda: server.poll() is not None or _listens(port), what="the TLS server")
    try:
        if server.poll() is not None:
            pytest.skip(f"{program} has no TLS: {log.read_text()[-200:]}")
        yield port
    finally:
        server.kill()
        server.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
