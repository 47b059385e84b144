"""Names in, hosts out: namespaces with addresses on a bridge, no disk in common, and wires that can be slow or cut.

    with Lab(folder, ["head", "one", "two"]) as lab:
        lab.delay("one", 0.002)
        run = lab["one"].start("worker", "start", "--join", url)

For tests and benchmarks. Whatever becomes of the process that made it, nothing of a lab stays.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, cast

from benchmarks.hosts import rights
from common.errors import ManyeyesError
from producer.cluster.prctl import die_with_parent

#: Addresses of the hosts, from 1 on. Nobody else is on their network.
_NETWORK = "10.77.0."
#: Seconds between looks, and for which a command may take its time to end.
_LOOK_S, _END_S = 0.02, 120.0
#: Seconds for the lab's own end: that of killed processes.
_LAST_S = 10.0
#: Connects to a port where nobody listens: the refusal takes one round trip, and nothing else.
_ROUND_TRIPS = """
import socket, sys, time
for _ in range(int(sys.argv[2])):
    with socket.socket() as one:
        begun = time.perf_counter()
        one.connect_ex((sys.argv[1], 9))
        print(time.perf_counter() - begun)
"""


@dataclass
class Running:
    """A command on a host. Its words go into two files, which both sides see."""

    host: Host
    pid: int
    out: Path
    err: Path

    def poll(self) -> int | None:
        return cast("int | None", self.host.lab.ask("code", pid=self.pid))

    def wait(self, timeout: float = _END_S) -> int:
        """Its exit code. Raises ManyeyesError, with its last words, where it does not end."""
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise ManyeyesError(f"{self.out} on {self.host.name} has not ended: {self.err.read_text()[-500:]}")
            time.sleep(_LOOK_S)
        return code

    def signal(self, number: int) -> None:
        self.host.lab.ask("signal", pid=self.pid, number=number)

    def end(self) -> int:
        """By TERM, as `producer down` or an administrator would."""
        self.signal(signal.SIGTERM)
        return self.wait()


@dataclass
class Host:
    lab: Lab
    name: str
    address: str
    #: Its disk: this folder has the same name on the host, and is on no other.
    folder: Path
    #: What its commands have in their environment beside the caller's.
    environment: dict[str, str] = field(default_factory=dict)
    _commands: int = 0

    def start(self, program: str, *arguments: object, **extra: str) -> Running:
        """A console script of ours, or another program."""
        self._commands += 1
        script = Path(sys.executable).parent / program
        command = [str(script if script.exists() else program), *map(str, arguments)]
        out, err = (self.folder / f"command-{self._commands}.{kind}" for kind in ("out", "err"))
        own = {"HOME": str(self.folder), "TMPDIR": str(self.folder / "tmp")}
        env: Mapping[str, str] = {**os.environ, **own, **self.environment, **extra}
        pid = self.lab.ask(
            "start", host=self.name, command=command, cwd=str(self.folder), env=env, out=str(out), err=str(err)
        )
        return Running(self, cast("int", pid), out, err)

    def run(self, program: str, *arguments: object, **extra: str) -> str:
        """What it said. Raises ManyeyesError unless it ends well."""
        ran = self.start(program, *arguments, **extra)
        if code := ran.wait():
            raise ManyeyesError(f"{program} on {self.name} ended with {code}: {ran.err.read_text()[-2000:]}")
        return ran.out.read_text()

    def round_trip(self, to: Host, times: int = 20) -> float:
        """Seconds, the least: what other work on this machine adds is not the wire's."""
        said = self.run(sys.executable, "-I", "-S", "-c", _ROUND_TRIPS, to.address, times)
        return min(map(float, said.split()))


class Lab:
    """Hosts, from `__enter__` to `__exit__`, in `folder`: a folder each, and `shared`, which all of them have."""

    def __init__(self, folder: Path, names: Sequence[str], shared: Sequence[str] = ()) -> None:
        self.folder = folder.resolve()
        self._shared = shared
        self._hosts = {
            name: Host(self, name, f"{_NETWORK}{number}", self.folder / name)
            for number, name in enumerate(names, start=1)
        }
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Lab:
        unshare = rights.unshare()
        for name in (*self._shared, *self._hosts):
            (self.folder / name / "tmp").mkdir(parents=True)
        plan = {
            "folder": str(self.folder),
            "hosts": {name: host.address for name, host in self._hosts.items()},
            "shared": self._shared,
        }
        inside = [sys.executable, "-I", "-S", str(Path(__file__).with_name("inside.py")), json.dumps(plan)]
        with (self.folder / "lab.log").open("wb") as log:
            self._process = subprocess.Popen(
                [*unshare, *inside],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                preexec_fn=die_with_parent(),  # noqa: PLW1509 - one prctl; no other thread holds a lock
            )
        try:
            self._answer()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        try:
            # The lab's init ends with its stdin, when the kernel has ended all the others.
            self._process.communicate(timeout=_LAST_S)
        finally:
            self._process.kill()
            self._process.wait()

    def __getitem__(self, name: str) -> Host:
        return self._hosts[name]

    @property
    def hosts(self) -> list[Host]:
        return list(self._hosts.values())

    def delay(self, name: str, round_trip_s: float) -> None:
        """What a round trip between this host and another takes longer from now on; also joins one that was cut off."""
        self.ask("wire", host=name, what=str(round_trip_s / 2))

    def cut(self, name: str) -> None:
        """Its frames vanish from now on, both ways; nobody is told."""
        self.ask("wire", host=name, what="cut")

    def ask(self, do: str, **arguments: Any) -> Any:
        assert self._process is not None and self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise ManyeyesError(f"the lab has ended: {self._words()}") from None
        return self._answer()

    def _answer(self) -> Any:
        assert self._process is not None and self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ManyeyesError(f"the lab has ended: {self._words()}")
        return json.loads(line)["answer"]

    def _words(self) -> str:
        return (self.folder / "lab.log").read_text()[-500:]
