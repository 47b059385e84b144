"""A plan in, hosts on a bridge out, and their commands: the first process of the lab's own namespaces.

It is init there: when it ends, the kernel kills every process below it, and hosts, devices and mounts go with them. It
ends when its stdin does, so with the process that started it. Requests and answers are JSON, a line each, one at a
time. Standard library only.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

_HERE = Path(__file__).parent
_BRIDGE = "me0"
#: Seconds between looks for processes that have ended: orphans come here.
_REAP_S = 0.1


@dataclass(frozen=True, slots=True)
class _Helper:
    """A process of the lab's own, which says `ready` and lives until its stdin ends."""

    name: str
    process: subprocess.Popen[str]

    @classmethod
    def start(cls, module: str, *arguments: str, under: Sequence[str] = ()) -> _Helper:
        command = [*under, sys.executable, "-I", "-S", str(_HERE / module), *arguments]
        helper = cls(module, subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        helper.await_ready()
        return helper

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        self.await_ready()

    def await_ready(self) -> None:
        assert self.process.stdout is not None
        if self.process.stdout.readline().strip() != "ready":
            raise RuntimeError(f"{self.name} did not come up")


class _Lab:
    def __init__(self, plan: dict[str, Any]) -> None:
        folder = Path(plan["folder"])
        self._hosts: dict[str, _Helper] = {}
        #: Exit codes by pid, of all that have ended; None: it lives.
        self._codes: dict[int, int | None] = {}
        self._kept: list[subprocess.Popen[bytes]] = []
        _ip("link", "add", _BRIDGE, "type", "bridge")
        _ip("link", "set", _BRIDGE, "up")
        wires = []
        for number, (name, address) in enumerate(plan["hosts"].items()):
            under = ["unshare", "--net", "--mount", "--uts", "--ipc", "--"]
            host = _Helper.start("host.py", str(folder / name), *plan["shared"], under=under)
            self._hosts[name] = host
            wires.append(",".join((name, *self._join(number, host, address))))
        self._wire = _Helper.start("wire.py", *wires)

    def _join(self, number: int, host: _Helper, address: str) -> tuple[str, str]:
        """eth0 in the host, the wire's two ends, and a port of the bridge. The ends' names."""
        pid = host.process.pid
        to_host, to_bridge, port = f"me{number}h", f"me{number}b", f"me{number}p"
        _ip("link", "add", to_host, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
        _ip("link", "add", to_bridge, "type", "veth", "peer", "name", port)
        _ip("link", "set", port, "master", _BRIDGE)
        for device in (to_host, to_bridge, port):
            _ip("link", "set", device, "addrgenmode", "none")
            _ip("link", "set", device, "up")
        of_host = ["nsenter", "--target", str(pid), "--net"]
        _ip("addr", "add", f"{address}/24", "dev", "eth0", under=of_host)
        _ip("link", "set", "eth0", "up", under=of_host)
        return to_host, to_bridge

    def start(self, host: str, command: list[str], cwd: str, env: dict[str, str], out: str, err: str) -> int:
        """The pid. The command runs as on the host: its network, its disk, its name."""
        pid = str(self._hosts[host].process.pid)
        enter = ["nsenter", "--target", pid, "--net", "--mount", "--uts", "--ipc", "--"]
        # Its folder is found by the host's mounts, not by ours.
        there = ["sh", "-c", 'cd "$0" && exec "$@"', cwd]
        with Path(out).open("wb") as stdout, Path(err).open("wb") as stderr:
            process = subprocess.Popen(
                [*enter, *there, *command],
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        self._codes[process.pid] = None
        self._kept.append(process)  # a forgotten Popen would take its exit status before `reap` does
        return process.pid

    def code(self, pid: int) -> int | None:
        self.reap()
        return self._codes[pid]

    def signal(self, pid: int, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

    def wire(self, host: str, what: str) -> None:
        self._wire.tell(f"{host} {what}")

    def reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = ended
                if pid in self._codes:
                    self._codes[pid] = os.waitstatus_to_exitcode(status)


def _ip(*words: str, under: Sequence[str] = ()) -> None:
    subprocess.run([*under, "ip", *words], check=True, stdin=subprocess.DEVNULL, stdout=sys.stderr)


def _lines(stream: IO[bytes], lab: _Lab | None = None) -> Any:
    """Each line of it, until it ends; meanwhile what has ended is reaped."""
    rest = b""
    while True:
        readable, _, _ = select.select([stream], [], [], _REAP_S)
        if lab is not None:
            lab.reap()
        if not readable:
            continue
        more = os.read(stream.fileno(), 1 << 16)
        if not more:
            return
        *lines, rest = (rest + more).split(b"\n")
        yield from map(json.loads, lines)


def main() -> None:
    # Interrupting the terminal's command is for those who started it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    lab = _Lab(json.loads(sys.argv[1]))
    print(json.dumps({"answer": "ready"}), flush=True)
    for request in _lines(sys.stdin.buffer, lab):
        answer = getattr(lab, request.pop("do"))(**request)
        print(json.dumps({"answer": answer}), flush=True)


if __name__ == "__main__":
    main()
