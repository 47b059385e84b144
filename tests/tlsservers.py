"""Real TLS brokers for tests: the PATH's Valkey or Redis, if it has TLS; else the wheel's behind a hub's front."""

from __future__ import annotations

import asyncio
import functools
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from producer.cluster import valkey
from producer.cluster.hub.tls_proxy import FrontPlan, Gate, serve
from tests.authority import Authority, Pair
from tests.waiting import wait_until

PASSWORD = "open-sesame"
HOST = "127.0.0.1"


@contextmanager
def tls_server(folder: Path, authority: Authority, pair: Pair, clients: bool = False) -> Iterator[int]:
    """Its port. `clients`: they must show a certificate of the authority's."""
    program, port = native_server(), _free_port()
    if program is None:
        with _fronted(folder, port, _context(authority, pair, clients)):
            yield port
        return
    lines = (
        *("port 0", f"tls-port {port}", f"bind {HOST}", f"dir {folder}", 'save ""', f"requirepass {PASSWORD}"),
        *(f"tls-cert-file {pair.certificate}", f"tls-key-file {pair.key}", f"tls-ca-cert-file {authority.file}"),
        f"tls-auth-clients {'yes' if clients else 'no'}",
    )
    server = valkey.spawn(program, "\n".join(lines).encode(), folder / f"tls-{port}.log")
    try:
        wait_until(lambda: _listens(port), what="the TLS server")
        yield port
    finally:
        server.kill()
        server.wait()


@functools.cache
def native_server() -> Path | None:
    """One that speaks TLS itself. The wheel's does not."""
    for name in ("valkey-server", "redis-server"):
        if (found := shutil.which(name)) is None:
            continue
        # It misses its certificate, or TLS itself.
        asked = subprocess.run([found, "--port", "0", "--tls-port", "1"], capture_output=True, check=False)
        if b"Failed to configure TLS" in asked.stdout:
            return Path(found)
    return None


def _context(authority: Authority, pair: Pair, clients: bool) -> ssl.SSLContext:
    context = FrontPlan(str(pair.certificate), str(pair.key), ()).context()
    if clients:
        context.load_verify_locations(authority.file)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@contextmanager
def _fronted(folder: Path, port: int, context: ssl.SSLContext) -> Iterator[None]:
    inner = _free_port()
    text = valkey.volatile(HOST, inner, valkey.password(PASSWORD), folder)
    server = valkey.spawn(valkey.server_path(), text, folder / f"inner-{port}.log")
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]] = []

    async def front() -> None:
        task = asyncio.current_task()
        assert task is not None
        running.append((asyncio.get_running_loop(), task))
        await serve([Gate(HOST, port, inner)], context)

    def run() -> None:
        with suppress(asyncio.CancelledError):
            asyncio.run(front())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        wait_until(lambda: _listens(port) and valkey.answers((HOST, inner), PASSWORD), what="the server and its front")
        yield
    finally:
        [(loop, task)] = running
        loop.call_soon_threadsafe(task.cancel)
        thread.join()
        server.kill()
        server.wait()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind((HOST, 0))
        return int(free.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0
