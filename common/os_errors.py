"""Puts an error of the operating system into one line: which disk or limit it is, what was being done, what helps."""

from __future__ import annotations

import errno
import os
import resource
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: What a write gives for want of room. The kernel's own error does not say which file it was.
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
#: Open files that are enough for all that one process does, and with how many a small run just works.
_FILES, _LEAST_FILES = 1024, 64
#: Free inodes below which it is they that are lacking, where so many bytes are free.
_FEW_FILES, _SOME_BYTES = 100, 1 << 20
#: What Python says where a thread cannot be started, which is no OSError.
_NO_THREAD = "can't start new thread"


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """An error for want of room that is raised in the block names the file that is being written."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            error.filename, error.filename2 = os.fspath(path), None
        raise


def explain(error: OSError) -> str:
    """One line, without a number that nobody knows by heart."""
    path = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else None
    words = error.strerror or str(error)
    match error.errno:
        case errno.ENOSPC:
            return f"{_full(path)}{_being_written(path)}; make room there"
        case errno.EDQUOT:
            return f"your quota is used up on {_disk(path)}{_being_written(path)}; make room there"
        case errno.EFBIG:
            return f"a file is larger than allowed ({words}){_being_written(path)}; {_largest(path)}"
        case errno.EROFS:
            return f"{_disk(path)} is read-only{_being_written(path)}; name another folder"
        case errno.EMFILE:
            most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
            return f"this process may not open more than {most} files; raise that limit:  ulimit -n 4096"
        case errno.EAGAIN if path is None:
            return no_process()
    if words.startswith("No usable temporary directory"):
        words += ": none can be written to; set TMPDIR to a folder that has room"
    return words if path is None else f"{path}: {words}"


def check_working_folder() -> None:
    """Raises FileNotFoundError that says what to do, where the folder that a command was started in is gone."""
    try:
        Path.cwd()
    except FileNotFoundError:
        raise FileNotFoundError("the folder that this was started in was deleted; cd to one that is there") from None


def allow_files() -> None:
    """Raise this process's limit on open files as far as it may. Raises OSError where it stays too low to work."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < _FILES:
        most = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        if most < _LEAST_FILES:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def no_process() -> str:
    """The line for a process or thread that cannot be started."""
    most = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    limit = "" if most == resource.RLIM_INFINITY else f" ({most})"
    return (
        f"no further process or thread can be started: raise this user's limit, ulimit -u{limit}, "
        "or the container's --pids-limit; or use fewer processes: --concurrency"
    )


def is_no_thread(error: BaseException) -> bool:
    return isinstance(error, RuntimeError) and str(error) == _NO_THREAD


def no_room(path: Path) -> str | None:
    """The line for a file to which nothing more can be appended, be it the cause of what failed; None where it can."""
    try:
        most = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
        if most != resource.RLIM_INFINITY and path.exists() and path.stat().st_size >= most:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        with tempfile.TemporaryFile(dir=_there(os.fspath(path.parent)), buffering=0) as probe:
            probe.write(b"0")
    except OSError as error:
        error.filename = os.fspath(path)
        return explain(error) if error.errno in _NO_ROOM else None
    return None


def _full(path: str | None) -> str:
    if path is None:
        return "a disk is full"
    try:
        room = os.statvfs(_there(path))
    except OSError:
        return "a disk is full"
    # What could not be written whole was removed, so some room may be there again by now.
    if room.f_files and room.f_favail < _FEW_FILES and room.f_bavail * room.f_frsize > _SOME_BYTES:
        return f"no more files fit on {_disk(path)} (it has no free inode)"
    return f"{_disk(path)} is full"


def _being_written(path: str | None) -> str:
    return "" if path is None else f": {path} cannot be written"


def _disk(path: str | None) -> str:
    """By the folder at which it is mounted."""
    if path is None:
        return "the disk"
    folder = _there(path)
    while not folder.is_mount() and folder != folder.parent:
        folder = folder.parent
    return f"the disk at {folder}"


def _there(path: str) -> Path:
    """The path, or the nearest folder above it that is there."""
    here = Path(os.path.realpath(path))
    while not here.exists() and here != here.parent:
        here = here.parent
    return here


def _largest(path: str | None) -> str:
    most = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    if most != resource.RLIM_INFINITY:
        return f"this process may write {most:,} bytes to one; raise that limit:  ulimit -f unlimited"
    return f"{_disk(path)} takes no larger one; name a folder on another"
