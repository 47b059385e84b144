"""A run's name in, its directory out: where the broker says that it is, if that is on this disk and this user's."""

from __future__ import annotations

import os
import pwd
import shlex
import socket
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import redis

from common.broker.asking import ask
from common.errors import BrokerError, UsageError
from common.protocol.ledger import run_key
from producer.cluster.hub import here
from producer.rundir.run_directory import RUN_FILE, NoSuchRun, RunDir
from producer.scheduler import run_stats


@dataclass(frozen=True, slots=True)
class _Told:
    """What the broker says: anybody who may write there may have written it."""

    run: str
    host: str
    #: Empty where this login is not told.
    folder: str


def beyond(missing: NoSuchRun, name: str, broker_url: str | None, verb: str) -> RunDir:
    """A run that is not in the output folder, by its id or a unique prefix.

    Raises UsageError for one of another machine or user, with the command, `producer VERB`, that works there; else what
    was `missing`, and why a broker could not be asked.
    """
    # The broker's latest is most likely somebody else's.
    if broker_url is None or name == "latest":
        raise missing
    try:
        told = ask(broker_url, lambda client: _told(client, name))
    except (BrokerError, UsageError, redis.RedisError) as error:
        raise UsageError(
            f"{missing}; where else it may be, the broker cannot be asked: {here.line_of(error)}"
        ) from None
    if told is None:
        raise missing
    folder = Path(told.folder)
    if _is_ours(folder, told.run):
        return RunDir(folder.resolve())
    raise UsageError(f"run {told.run} {_elsewhere(told, f'producer {verb} {shlex.quote(told.folder)}')}")


def _told(client: redis.Redis, name: str) -> _Told | None:
    """None where the broker knows no such run, or several."""
    found = [one for one in run_stats.all_runs(client) if one.run.startswith(name)]
    return _Told(found[0].run, found[0].host, _folder(client, found[0].run)) if len(found) == 1 else None


def _folder(asked: redis.Redis, run: str) -> str:
    try:
        return (cast("bytes | None", asked.hget(run_key(run), "dir")) or b"").decode(errors="replace")
    except redis.exceptions.NoPermissionError:
        return ""


def _is_ours(folder: Path, run: str) -> bool:
    """Whether it is that run's, and this user's: no word on the broker leads to what others have put there."""
    try:
        real = folder.resolve(strict=True)
        within = (real / RUN_FILE).lstat()
    except (OSError, ValueError, RuntimeError):
        return False
    owners = {real.stat().st_uid, within.st_uid}
    return folder.is_absolute() and real.name == run and stat.S_ISREG(within.st_mode) and owners == {os.geteuid()}


def _elsewhere(told: _Told, command: str) -> str:
    """Where it is, and how to get there, to follow the run's name."""
    if not told.folder:
        return f"is of {told.host}, in a folder that this login may not ask for: go there, to where it was submitted"
    if told.host != socket.gethostname():
        return f"is of {told.host}, in {told.folder}: run it there:  {command}"
    try:
        owner = Path(told.folder).stat().st_uid
    except PermissionError:
        return f"is in {told.folder}, where this user may not look: as its user:  {command}"
    except (OSError, ValueError):
        return f"was in {told.folder}, and is not there any more: submit the dataset again"
    if owner == os.geteuid():
        return f"is in {told.folder}, where no {RUN_FILE} of this user is: nothing can be done with it"
    return f"is in {told.folder}, which belongs to {_user(owner)}: as that user:  {command}"


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user id {number}"
