"""Brokers that give no answer: each is a URL, for as long as the block runs. Real sockets, and real servers stopped."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.acceptance.brokers import Forgetful

#: How a command begins on the wire.
_COMMAND = re.compile(rb"(?:^|\r\n)\*[0-9]+\r\n")


def url_of(server: socket.socket, scheme: str = "redis") -> str:
    return f"{scheme}://:secret@127.0.0.1:{server.getsockname()[1]}/0"


@contextmanager
def stopped(folder: Path) -> Iterator[str]:
    """A real server that was sent SIGSTOP."""
    with a_server(folder) as server:
        server.stop()
        yield server.url


@contextmanager
def a_server(folder: Path) -> Iterator[Forgetful]:
    server = Forgetful(folder)
    try:
        yield server
    finally:
        server.end()


@contextmanager
def silent_tls(_: Path) -> Iterator[str]:
    """A port that takes connections and never says anything, where TLS is expected."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as server:
        yield url_of(server, "rediss")


@contextmanager
def full(_: Path) -> Iterator[str]:
    """A port whose queue of connections is full: the kernel drops what is sent there, as a firewall does."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(server.getsockname())
        yield url_of(server)
        for one in waiting:
            one.close()


@contextmanager
def dripping(_: Path) -> Iterator[str]:
    """One that always sends another byte, and never all."""
    over = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        while not over.wait(0.5):
            connection.sendall(b"x")

    with _serving(drip) as server:
        yield url_of(server)
        over.set()


@contextmanager
def loading(_: Path) -> Iterator[str]:
    """One that says to every command that it is loading its data, as a real one does for minutes."""
    with _serving(lambda connection: _answer(connection, b"-LOADING Redis is loading the dataset\r\n")) as server:
        yield url_of(server)


@contextmanager
def stalling(target: str, commands: int) -> Iterator[str]:
    """A way to a real server on which nothing passes any more after so many commands, on each connection."""
    there = ("127.0.0.1", int(target.rpartition(":")[2].partition("/")[0]))

    def relay(connection: socket.socket) -> None:
        left = commands
        with socket.create_connection(there) as server:
            while sent := connection.recv(1 << 16):
                left -= len(_COMMAND.findall(sent))
                if left < 0:
                    connection.recv(1)  # until the client goes
                    return
                server.sendall(sent)
                connection.sendall(server.recv(1 << 20))

    with _serving(relay) as server:
        yield url_of(server)


def _answer(connection: socket.socket, reply: bytes) -> None:
    while sent := connection.recv(1 << 16):
        connection.sendall(reply * max(1, len(_COMMAND.findall(sent))))


@contextmanager
def _serving(serve: Callable[[socket.socket], None]) -> Iterator[socket.socket]:
    """Each connection in a thread of its own."""

    def one(connection: socket.socket) -> None:
        try:
            with connection:
                serve(connection)
        except OSError:
            pass  # the client has gone

    def accept(server: socket.socket) -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=one, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0), backlog=50) as server:
        thread = threading.Thread(target=accept, args=(server,), daemon=True)
        thread.start()
        yield server
        server.shutdown(socket.SHUT_RDWR)
    thread.join()
