"""What a worker's parent knows of itself in, a small file out, and one line of health from all such files.

So `worker health --local` needs no broker. Loads little, for it runs every few seconds: no Celery, no Redis, no engine.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import socket
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

import psutil

from common.errors import ManyeyesError, line_of
from common.limits import HEARTBEAT_LIFE_S, HEARTBEAT_S, LOAD_ILL_S, OVERDUE_S, START_ILL_S
from worker import systemd

log = logging.getLogger("manyeyes.worker")


class Vitals(Protocol):
    """How a worker's pool processes do: see common.protocol.heartbeats.WorkerBeat."""

    @property
    def processes(self) -> int: ...
    @property
    def alive(self) -> int: ...
    @property
    def short_s(self) -> float: ...
    @property
    def overdue_s(self) -> float: ...


@dataclass(frozen=True, slots=True)
class LocalBeat:
    """What stands in the file. Instants are of the machine's monotonic clock, in seconds."""

    worker: str
    host: str
    pid: int
    #: When that process began, in seconds from the system's own start: a pid is given again.
    created: float
    #: When it began to load its models; 0: they are checked.
    loading: float
    #: When this was written, and when the warden last looked; 0: it is not at work yet.
    said: float = 0.0
    looked: float = 0.0
    processes: int = 0
    alive: int = 0
    short_s: float = 0.0
    overdue_s: float = 0.0


def folder() -> Path:
    """This user's, in the temporary folder; a container with a read-only root has one in memory."""
    return Path(tempfile.gettempdir(), f"manyeyes-workers-{os.getuid()}")


def ailment(one: Vitals) -> str | None:
    """What only a new start mends."""
    if one.overdue_s > OVERDUE_S:
        return f"an image has passed its time by {one.overdue_s:.0f} s and its process still lives; start it again"
    if one.short_s > START_ILL_S:
        return f"{one.alive} of {one.processes} processes live, for {one.short_s:.0f} s now; see its log"
    return None


class Beacon(threading.Thread):
    """Of a worker's parent: writes the file, at its start and end by hand, in between once a second."""

    def __init__(self, worker: str) -> None:
        super().__init__(name="beacon", daemon=True)
        me = psutil.Process()
        self._now = LocalBeat(worker, socket.gethostname(), me.pid, began(me), loading=time.monotonic())
        self._name = f"{hashlib.sha256(worker.encode()).hexdigest()[:16]}.json"
        self._ended = threading.Event()
        self._silent = False

    def loading(self) -> None:
        sweep()
        self._write()

    def loaded(self) -> None:
        self._now = replace(self._now, loading=0.0)
        self._write()

    def look(self, seen: Vitals) -> None:
        """The warden has looked."""
        self._now = replace(
            self._now,
            looked=time.monotonic(),
            processes=seen.processes,
            alive=seen.alive,
            short_s=seen.short_s,
            overdue_s=seen.overdue_s,
        )

    def run(self) -> None:
        systemd.notify("READY=1")
        while not self._ended.wait(HEARTBEAT_S):
            self._write()
            if _ill(self._now) is None:
                systemd.notify("WATCHDOG=1")

    def end(self) -> None:
        """Leaves nothing. Can be repeated; a fork of the parent does nothing by it."""
        if os.getpid() != self._now.pid:
            return
        self._ended.set()
        if self.is_alive():
            self.join(timeout=HEARTBEAT_S)
        with contextlib.suppress(OSError):
            (folder() / self._name).unlink(missing_ok=True)
            folder().rmdir()

    def _write(self) -> None:
        self._now = replace(self._now, said=time.monotonic())
        try:
            try:
                self._put()
            except FileNotFoundError:
                # Another worker's end has just removed the empty folder.
                self._put()
        except OSError as error:
            if not self._silent:
                log.warning("`worker health --local` will not know of this worker: %s", line_of(error))
            self._silent = True

    def _put(self) -> None:
        path = _own(folder()) / self._name
        new = path.with_suffix(".new")
        new.write_text(json.dumps(asdict(self._now)))
        new.replace(path)


def check(worker: str | None = None) -> str:
    """One line where this user's workers live on this machine. Raises ManyeyesError that names what is ill.

    `worker`: only that one, by its node name.
    """
    host = socket.gethostname()
    known = [one for one in _read() if one.host == host and worker in (None, one.worker)]
    living = [one for one in known if _state(one) is not None]
    if not living:
        who = worker or f"host {host}"
        died = "".join(f"; {one.worker} (pid {one.pid}) has died" for one in known)
        raise ManyeyesError(f"{who}: no worker of this user lives here{died}: see its log, start it again")
    for one in living:
        if ill := _ill(one):
            raise ManyeyesError(f"{one.worker} (pid {one.pid}): {ill}")
    starting = sum(not one.looked for one in living)
    processes = sum(one.alive for one in living)
    also = f", {starting} of them starting" if starting else ""
    return f"{host}: {len(living)} worker{'s' * (len(living) != 1)} alive{also}, {processes} processes"


def _ill(one: LocalBeat) -> str | None:
    if _state(one) == psutil.STATUS_STOPPED:
        return "it is stopped (SIGSTOP); kill -CONT wakes it"
    now = time.monotonic()
    if not one.looked:
        # Then it waits for a broker, which is none of its faults.
        slow = one.loading and now - one.loading > LOAD_ILL_S
        return f"it has been loading its models for {now - one.loading:.0f} s; see its log" if slow else None
    if now - one.said > HEARTBEAT_LIFE_S:
        return f"it has said nothing for {now - one.said:.0f} s: it hangs; start it again"
    if now - one.looked > HEARTBEAT_LIFE_S:
        return f"it has not looked at its processes for {now - one.looked:.0f} s: it hangs; start it again"
    return ailment(one)


def began(process: psutil.Process) -> float:
    """Seconds after the system's start, give or take one: an instant by the clock moves when the clock is set."""
    # In this order: an older psutil counts from what it has said last.
    booted = float(psutil.boot_time())
    return float(process.create_time()) - booted


def _state(one: LocalBeat) -> str | None:
    """Of its process, in psutil's words; None: that one is gone."""
    try:
        process = psutil.Process(one.pid)
        state = str(process.status())
        same = abs(began(process) - one.created) < 2
    except psutil.Error:
        return None
    return state if same and state != psutil.STATUS_ZOMBIE else None


def sweep() -> None:
    """Remove what dead workers have left."""
    host = socket.gethostname()
    with contextlib.suppress(OSError):
        for path in folder().iterdir():
            one = _parse(path)
            if one is not None and one.host == host and _state(one) is None:
                path.unlink(missing_ok=True)


def _read() -> Iterator[LocalBeat]:
    """Raises ManyeyesError for a folder that is not this user's."""
    try:
        place = folder()
        _check_own(place)
        yield from filter(None, map(_parse, sorted(place.glob("*.json"))))
    except FileNotFoundError:
        return
    except OSError as error:
        raise ManyeyesError(str(line_of(error))) from None


def _parse(path: Path) -> LocalBeat | None:
    try:
        return LocalBeat(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _own(place: Path) -> Path:
    with contextlib.suppress(FileExistsError):
        place.mkdir(mode=0o700)
    _check_own(place)
    return place


def _check_own(place: Path) -> None:
    """Everybody may write to /tmp: what somebody else has put there is not believed. Raises PermissionError."""
    found = place.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise PermissionError(1, "is not a folder of this user's alone; remove it, or set TMPDIR", str(place))
