"""A plan on standard input, the life of a hub out: what ends is started again, and at the end all goes in good order.

Runs as its own process and session, and outlives the `producer up` that started it. Standard library only.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from common.errors import ManyeyesError
from producer.cluster import valkey
from producer.cluster.hub.state_folder import HubFolder, HubState, Part, Status
from producer.cluster.log_tail import error_line
from producer.cluster.process_group import END_SIGNALS, Children, ending

#: Seconds before the first start again; doubled with each end that follows soon, up to the second figure.
_AGAIN_S, _AGAIN_MOST_S = 0.5, 30.0
#: Seconds. What lived so long ended for another reason than the last time.
_WELL_S = 60.0
#: Seconds between looks at a broker that loads its file, and at the size of logs.
_ANSWER_S, _LOGS_S = 0.02, 60.0
#: Bytes of a log, of which the one before is kept too.
_LOG_BYTES = 32 << 20

BROKER = "broker"
#: What speaks TLS for it.
FRONT = "tls"


@dataclass(frozen=True, slots=True)
class PartPlan:
    """One process to keep. `environment` is added to the keeper's own; a server takes its `configuration` instead."""

    name: str
    command: tuple[str, ...]
    environment: dict[str, str]
    #: Seconds that it may take over its end.
    patience_s: float
    configuration: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to keep: a broker, and what needs it. The server is the program of all servers."""

    folder: str
    server: str
    #: Where the broker answers.
    host: str
    port: int
    #: Who asks whether it does.
    user: str
    password: str
    parts: tuple[PartPlan, ...]

    def to_line(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Plan:
        data: dict[str, Any] = json.loads(line)
        parts = tuple(PartPlan(**{**part, "command": tuple(part["command"])}) for part in data.pop("parts"))
        return cls(**data, parts=parts)


@dataclass(slots=True)
class _Kept:
    """What the keeper knows of one part."""

    plan: PartPlan
    seen: Part
    #: By the monotonic clock: when it was started last, and when it is to be.
    started: float = 0.0
    due: float = 0.0
    #: Ends in a row, each soon after its start.
    soon: int = 0


class Keeper:
    """One hub, from the lock on its folder to the last of its processes."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._folder = HubFolder(Path(plan.folder))
        self._children = Children()
        self._parts = {part.name: _Kept(part, Part(part.name)) for part in plan.parts}
        self._state = HubState.RUNNING
        self._logs_due = 0.0

    def run(self) -> None:
        """Returns when everything has ended. Raises ManyeyesError where the folder has a keeper already."""
        with self._folder.kept() as control:
            try:
                self._keep(control)
            finally:
                self._end()

    def _keep(self, control: int) -> None:
        """Returns when told to end, through the pipe or by a signal."""
        while True:
            self._care()
            told, signals = self._children.wait(self._rest_s(), control)
            if told or END_SIGNALS & signals:
                return
            self._reap()

    def _care(self) -> None:
        """Start what is due; find out whether the broker answers by now."""
        now, before = time.monotonic(), self._status()
        broker = self._parts[BROKER]
        if broker.seen.pid is not None and not broker.seen.ready:
            ready = valkey.answers((self._plan.host, self._plan.port), self._plan.password, self._plan.user)
            broker.seen = replace(broker.seen, ready=ready)
        for part in self._parts.values():
            if part.seen.pid is None and part.due <= now and (part is broker or broker.seen.ready):
                self._start(part)
        if self._status() != before:
            self._tell()
        if self._logs_due <= now:
            self._logs_due = now + _LOGS_S
            self._trim_logs()

    def _start(self, part: _Kept) -> None:
        name, log = part.plan.name, self._folder.logs / f"{part.plan.name}.log"
        part.started = time.monotonic()
        try:
            if part.plan.configuration:
                process = valkey.spawn(Path(self._plan.server), part.plan.configuration.encode(), log)
                pid = self._children.note(name, process)
            else:
                pid = self._children.start(name, part.plan.command, part.plan.environment, log)
        except OSError as error:
            self._ended(part, str(error))
        else:
            part.seen = replace(part.seen, pid=pid, ready=name != BROKER)

    def _reap(self) -> None:
        for child in self._children.reap()[0]:
            self._ended(self._parts[child.name], ending(child.code))
        self._tell()

    def _ended(self, part: _Kept, how: str) -> None:
        """Not told to: it is started again, later and later where that doesn't help."""
        now = time.monotonic()
        part.soon = 0 if now - part.started > _WELL_S else part.soon + 1
        part.due = now + min(_AGAIN_S * 2.0 ** max(0, part.soon - 1), _AGAIN_MOST_S)
        part.seen = replace(part.seen, pid=None, ready=False, ended=part.seen.ended + 1, how=how)
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        print(f"{stamp} {part.plan.name} has ended: {how}; again in {part.due - now:g} s", file=sys.stderr, flush=True)

    def _rest_s(self) -> float:
        """Until something is to be done that no process's end announces."""
        broker = self._parts[BROKER].seen
        if broker.pid is not None and not broker.ready:
            return _ANSWER_S
        # While the broker is away, what needs it waits for it.
        waiting = [
            part
            for part in self._parts.values()
            if part.seen.pid is None and (part.plan.name == BROKER or broker.ready)
        ]
        return max(0.0, min([self._logs_due, *(part.due for part in waiting)]) - time.monotonic())

    def _end(self) -> None:
        """The broker last: workers hand their shards back to it. What doesn't end in its time is killed."""
        self._state = HubState.ENDING
        self._tell()
        last = [self._parts[name] for name in (FRONT, BROKER) if name in self._parts]
        self._let_end([part for part in self._parts.values() if part not in last])
        for part in last:
            self._let_end([part])
        self._children.kill()
        self._state = HubState.DOWN
        self._tell()

    def _let_end(self, parts: list[_Kept]) -> None:
        begun = time.monotonic()
        running = {part.plan.name: part for part in parts if part.seen.pid is not None}
        _send(signal.SIGTERM, running)
        while running:
            for child in self._children.reap()[0]:
                part = self._parts[child.name]
                part.seen = replace(part.seen, pid=None, ready=False, how=ending(child.code))
                running.pop(child.name, None)
            late = {n: part for n, part in running.items() if time.monotonic() - begun > part.plan.patience_s}
            _send(signal.SIGKILL, late)
            if running:
                self._children.wait(0.1)
        self._tell()

    def _tell(self) -> None:
        with contextlib.suppress(OSError):  # a full disk ends no hub: the words are for others
            self._folder.write_status(self._status())

    def _status(self) -> Status:
        return Status(self._state, os.getpid(), tuple(part.seen for part in self._parts.values()))

    def _trim_logs(self) -> None:
        """Their writers append: what was copied can be cut off under them."""
        for log in self._folder.logs.glob("*.log"):
            if log.stat().st_size > _LOG_BYTES:
                with contextlib.suppress(OSError):
                    shutil.copyfile(log, log.with_suffix(".log.1"))
                os.truncate(log, 0)


def _send(number: signal.Signals, parts: dict[str, _Kept]) -> None:
    """To children that nobody has reaped yet: their pids are theirs."""
    for part in parts.values():
        if part.seen.pid is not None:
            os.kill(part.seen.pid, number)


def main() -> None:
    line = sys.stdin.buffer.readline()
    if not line.endswith(b"\n"):
        return  # whoever started it ended before it had said what to keep
    try:
        Keeper(Plan.from_line(line)).run()
    except ManyeyesError as error:
        sys.exit(error_line(error))
