"""A run's directory on the owner's disk: the truth about the run."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from common import __version__, atomic_files
from common.datasets.path_list.listed import Listed
from common.errors import FencedError, ProtocolError, UsageError
from common.protocol.ledger import RunState
from common.protocol.spec import Spec
from producer.rundir import file_lock

_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
#: Seconds. Longer than anybody holds the lock just to look.
_PROBE_S = 0.3
#: Seconds without a word of its owner, which speaks every second and waits for a broker, after which it may hang.
_SILENT_S = 30.0
#: Of `run.json`; a reader of another number must not guess.
RUN_SCHEMA = 1
#: The marker by which a run directory is one; of a run that is done, written last.
RUN_FILE = "run.json"


class NoSuchRun(UsageError):
    """The folder has no run of that name."""


def new_run_id() -> str:
    """UTC second and 8 random base32 characters: sorts by time, and two producers never meet."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    return f"{stamp}-{''.join(secrets.choice(_BASE32) for _ in range(8))}"


@dataclass(frozen=True, slots=True)
class RunDir:
    """Where everything of one run lies."""

    path: Path

    @property
    def run(self) -> str:
        return self.path.name

    @property
    def manifest(self) -> Path:
        return self.path / "manifest"

    @property
    def lists(self) -> Path:
        """What the dataset's lists named at submit, NUL-separated; not there where it has none."""
        return self.path / "lists.paths"

    @property
    def journal(self) -> Path:
        return self.path / "journal.bin"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def _owner_lock(self) -> Path:
        return self.path / "owner.lock"

    def read(self) -> dict[str, Any]:
        try:
            data: dict[str, Any] = json.loads((self.path / RUN_FILE).read_text())
        except (OSError, ValueError) as error:
            raise UsageError(f"{self.path} holds no readable run.json: {error}") from None
        if data.get("schema") != RUN_SCHEMA:
            raise UsageError(
                f"{self.path} was written by another version (schema {data.get('schema')}, here {RUN_SCHEMA}); "
                f"use manyeyes {data.get('versions', {}).get('manyeyes', 'of then')} for it, this is {__version__}"
            )
        return data

    def keep_lists(self, listed: Listed) -> dict[str, int] | None:
        """Write, durably, what the dataset's lists name; without lists nothing. What `run.json` is to say of them."""
        if not listed.names:
            return None
        with atomic_files.atomic_file(self.lists) as file:
            file.writelines(name + b"\0" for name in listed.names)
        return {"names": len(listed.names), "skipped": listed.skipped}

    def kept_lists(self) -> Listed | None:
        """What `keep_lists` has written. Raises UsageError where it is not all there: items would be lost."""
        # Runs of earlier versions do not say.
        known = self.read().get("lists", {"skipped": 0} if self.lists.exists() else None)
        if known is None:
            return None
        try:
            names = self.lists.read_bytes().split(b"\0")[:-1]
        except FileNotFoundError:
            names = []
        if len(names) != known.get("names", len(names)):
            raise UsageError(
                f"{self.lists} has {len(names):,} names, and run.json says {known['names']:,}: it is damaged; "
                "submit the dataset again"
            )
        return Listed(names, skipped=known["skipped"])

    def write(self, data: dict[str, Any]) -> None:
        atomic_files.write_json(self.path / RUN_FILE, {"schema": RUN_SCHEMA, **data})

    def spec(self) -> Spec:
        data = self.read()
        try:
            return Spec.from_text(json.dumps(data["spec"]))
        except ProtocolError as error:
            by = data.get("versions", {}).get("manyeyes", "another version")
            raise UsageError(
                f"run {self.run} was begun by manyeyes {by}, this is {__version__}: {error}; go on with that version"
            ) from None

    def state(self) -> RunState:
        state = self.read()["state"]
        if state not in set(RunState):
            raise UsageError(f"{self.path / 'run.json'} says {state!r}, which is no state that a run can be in")
        return RunState(state)

    def progress(self) -> dict[str, Any]:
        """The owner's last words about how far it is; empty before the first."""
        try:
            data: dict[str, Any] = json.loads((self.path / "progress.json").read_text())
        except (OSError, ValueError):
            return {}
        return data

    def silence_s(self) -> float:
        """Seconds since the owner's last word on its progress; 0 before the first."""
        try:
            return max(0.0, time.time() - (self.path / "progress.json").stat().st_mtime)
        except OSError:
            return 0.0

    def write_progress(self, data: dict[str, Any]) -> None:
        atomic_files.write_json(self.path / "progress.json", data, durable=False)

    def ask_to_cancel(self) -> None:
        """Durable: no restart revives the run."""
        with atomic_files.atomic_file(self.path / "cancel"):
            pass

    def cancel_asked(self) -> bool:
        return (self.path / "cancel").exists()

    def forget_cancel(self) -> None:
        (self.path / "cancel").unlink(missing_ok=True)
        atomic_files.sync_folder(self.path)

    def ask_to_pause(self, paused: bool) -> None:
        """Durable too: a paused run stays so until somebody says otherwise."""
        if paused:
            with atomic_files.atomic_file(self.path / "pause"):
                pass
        else:
            (self.path / "pause").unlink(missing_ok=True)
            atomic_files.sync_folder(self.path)

    def pause_asked(self) -> bool:
        return (self.path / "pause").exists()

    def last_token(self) -> int:
        """The highest fencing token that an owner of this directory has held; 0 before the first."""
        try:
            return int(json.loads((self.path / "lease.json").read_text())["token"])
        except FileNotFoundError:
            return 0

    def write_token(self, token: int) -> None:
        """Durable: tokens rise also when Redis has forgotten them. With it, who has it."""
        holder = {"host": socket.gethostname(), "pid": os.getpid()}
        atomic_files.write_json(self.path / "lease.json", {"token": token, **holder})

    def lock(self) -> BinaryIO:
        """Hold the directory as its one owner until the file is closed. Raises FencedError."""
        file = file_lock.hold(self._owner_lock, _PROBE_S)
        if file is None:
            raise FencedError(self._owner_said())
        return file

    def _owner_said(self) -> str:
        silent_s = time.time() - self.progress().get("at", time.time())
        if silent_s < _SILENT_S:
            return f"run {self.run} has a live owner; {self.command('watch')} shows it"
        try:
            held = json.loads((self.path / "lease.json").read_text())
            who = f"process {held['pid']} on {held['host']}"
        except (OSError, ValueError, KeyError):
            who = "a process"
        return (
            f"run {self.run} is held by {who}, which has said nothing for {silent_s:.0f} s; "
            f"if it hangs, kill it, then:  {self.command('resume')}"
        )

    def has_owner(self) -> bool:
        """Writes nothing: whoever may read a run may ask."""
        return file_lock.is_held(self._owner_lock)

    def command(self, verb: str) -> str:
        """What to type to do something with this run."""
        return f"producer {verb} {self.run if self.path.parent == Path('runs') else shlex.quote(str(self.path))}"


def create(output: Path, run: str) -> RunDir:
    """Reserve the run's id on disk."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        (output / run).mkdir()
    except OSError as error:
        raise UsageError(f"cannot write runs to {output}: {error.strerror}; choose another --output") from None
    return RunDir(output / run)


def all_runs(output: Path) -> list[RunDir]:
    """Oldest first."""
    if not output.is_dir():
        return []
    return [RunDir(path.parent) for path in sorted(output.glob("*/run.json"))]


def find(output: Path, name: str) -> RunDir:
    """A run by id, unique prefix, `latest`, or the path of its directory. Raises UsageError, NoSuchRun."""
    if (Path(name) / "run.json").is_file():
        return RunDir(Path(name).resolve())
    runs = all_runs(output)
    if not runs:
        raise NoSuchRun(f"no runs in {output}; `producer submit DATASET` makes one, --output names another folder")
    if name == "latest":
        return runs[-1]
    found = [run for run in runs if run.run.startswith(name)]
    if not found:
        raise NoSuchRun(f"no run in {output} begins with {name!r}; `producer runs` lists them")
    if len(found) > 1:
        raise UsageError(f"{len(found)} runs in {output} begin with {name!r}; `producer runs` lists them")
    return found[0]
