"""A broker that a test can start again."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

from producer.cluster import valkey
from tests.waiting import wait_until


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Forgetful:
    """A broker on TCP without a file, as many users' own are: started again it knows nothing."""

    def __init__(self, folder: Path) -> None:
        self._log, self._folder = folder / "valkey.log", folder
        self._port = free_port()
        self.url = f"redis://:secret@127.0.0.1:{self._port}/0"
        self._start()

    def _start(self) -> None:
        text = valkey.volatile("127.0.0.1", self._port, valkey.password("secret"), self._folder)
        self._server = valkey.spawn(valkey.server_path(), text, self._log)
        wait_until(lambda: valkey.answers(("127.0.0.1", self._port), "secret"), what="the broker")

    def stop(self) -> None:
        """It hangs: the kernel goes on taking its connections."""
        self._server.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._server.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        self.end()
        self._start()

    def end(self) -> None:
        self._server.kill()
        self._server.wait()
