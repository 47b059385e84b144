"""The hub's folder: what outlives the hub, who keeps it now, and how to tell that one something.

Standard library only: the keeper imports it. Nobody is ever killed by a number that was read from here: the keeper is
alive while it holds its lock, and is told to end through a pipe that only it reads.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from common import atomic_files
from common.errors import ManyeyesError, UsageError
from producer.rundir import file_lock

#: Seconds. Longer than anybody holds the keeper's lock just to look.
_PROBE_S = 1.0
#: Of `hub.json`; a reader of another number must not guess.
HUB_SCHEMA = 2


class HubState(StrEnum):
    RUNNING = "running"
    ENDING = "ending"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Part:
    """The broker, the dashboard or the worker, as the keeper sees it."""

    name: str
    #: None while it does not run.
    pid: int | None = None
    #: It takes connections (the broker), or was started (the others).
    ready: bool = False
    #: How often it has ended without being told to.
    ended: int = 0
    #: How it ended last, in words.
    how: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    """The keeper's last words about itself and its parts."""

    state: HubState
    #: For people: nothing acts on it.
    keeper: int
    parts: tuple[Part, ...]

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Status:
        return cls(HubState(data["state"]), data["keeper"], tuple(Part(**part) for part in data["parts"]))

    def part(self, name: str) -> Part | None:
        return next((part for part in self.parts if part.name == name), None)


@dataclass(frozen=True, slots=True)
class HubFolder:
    """A folder of our own, readable by its user only."""

    path: Path

    @property
    def data(self) -> Path:
        return self.path / "valkey"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def tls(self) -> Path:
        return self.path / "tls"

    @property
    def flower(self) -> Path:
        """What it keeps is a pickle: who writes here makes it run what they like."""
        return self.path / "flower"

    @property
    def _settings(self) -> Path:
        return self.path / "hub.json"

    @property
    def _control(self) -> Path:
        return self.path / "control"

    @property
    def _lock(self) -> Path:
        return self.path / "keeper.lock"

    def prepare(self) -> None:
        """Make the folder and what is in it. Raises UsageError for one that cannot be ours."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self._settings.exists() and any(self.path.iterdir()) and not self._lock.exists():
                raise UsageError(
                    f"state folder {self.path} holds other things; name a new or an empty one: --state FOLDER"
                )
            self.path.chmod(0o700)
            self._lock.touch(mode=0o600)
            self.data.mkdir(mode=0o700, exist_ok=True)
            self.logs.mkdir(mode=0o700, exist_ok=True)
            self.flower.mkdir(mode=0o700, exist_ok=True)
            if not self._control.is_fifo():
                os.mkfifo(self._control, 0o600)
        except OSError as error:
            raise UsageError(
                f"state folder {self.path} cannot be used ({error.strerror}); name another: --state FOLDER"
            ) from None

    def read(self) -> dict[str, Any] | None:
        """The settings of the last `up`; None before the first."""
        try:
            data: dict[str, Any] = json.loads(self._settings.read_text())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise UsageError(f"{self._settings} cannot be read ({error}); mend it, or name another: --state") from None
        schema = data.pop("schema", None)
        if schema == 1:
            # It had one password for everybody; `up` gives each role one of its own.
            del data["password"]
        elif schema != HUB_SCHEMA:
            raise UsageError(f"{self._settings} was written by another version; name another folder: --state")
        return data

    def write(self, settings: dict[str, Any] | None) -> None:
        """They hold the passwords. None: as of a hub that there never was."""
        if settings is None:
            self._settings.unlink(missing_ok=True)
            return
        with atomic_files.atomic_file(self._settings, mode=0o600) as file:
            file.write((json.dumps({"schema": HUB_SCHEMA, **settings}, indent=2) + "\n").encode())

    def status(self) -> Status | None:
        try:
            return Status.from_json(json.loads((self.path / "status.json").read_text()))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write_status(self, status: Status) -> None:
        atomic_files.write_json(self.path / "status.json", asdict(status), durable=False)

    def forget_status(self) -> None:
        """A dead keeper's words are not the next one's."""
        (self.path / "status.json").unlink(missing_ok=True)

    def running(self) -> bool:
        """Whether a keeper lives: it holds its lock for as long as it does, and the kernel frees it at any death."""
        return file_lock.is_held(self._lock)

    @contextlib.contextmanager
    def kept(self) -> Iterator[int]:
        """The keeper's lock, and the reading end of the pipe by which it is told things. Raises ManyeyesError."""
        file = file_lock.hold(self._lock, _PROBE_S)
        if file is None:
            raise ManyeyesError(f"another keeper has {self.path}")
        with file:
            # For writing too, or the pipe would be at its end whenever nobody else writes.
            control = os.open(self._control, os.O_RDWR | os.O_NONBLOCK)
            try:
                yield control
            finally:
                os.close(control)

    def tell_to_end(self) -> None:
        with contextlib.suppress(OSError):  # nobody reads any more: it has ended
            control = os.open(self._control, os.O_WRONLY | os.O_NONBLOCK)
            os.write(control, b"end\n")
            os.close(control)

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """One `up` or `down` at a time."""
        with (self.path / "command.lock").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
