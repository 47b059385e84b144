"""Makes standard input, output and errors safe to use, whatever a command was started with."""

from __future__ import annotations

import errno
import io
import os
import resource
import sys
from typing import Any

from common.errors import ManyeyesError


class ReaderGone(BaseException):
    """Whoever read the standard output has gone, as `head -1` does: no more need be printed, and nothing has failed."""


class _Output(io.FileIO):
    """Says what went wrong with the standard output, once: the interpreter tries again at its end."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            _to_nowhere(self.fileno())
            if error.errno == errno.EPIPE:
                raise ReaderGone from None
            raise ManyeyesError(f"the standard output cannot be written: {error.strerror}") from None


class _Errors(io.FileIO):
    """Words that nobody can read end no run."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno == errno.EPIPE:
                _to_nowhere(self.fileno())
            return len(data)


def settle() -> None:
    """First of all in a command.

    A standard stream that is closed would have its number taken by the next file that is opened, such as a journal,
    and children would write into that.
    """
    if resource.getrlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY:
        # Of a module's bytecode that is too large then, Python 3.11 keeps the first part, and trips over it ever after.
        sys.dont_write_bytecode = True
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the kernel gives it the lowest number that is free: this one
    if sys.stdout is sys.__stdout__:
        sys.stdout = sys.__stdout__ = _text(_Output(1, "w", closefd=False), sys.stdout)  # type: ignore[misc]
    if sys.stderr is sys.__stderr__:
        sys.stderr = sys.__stderr__ = _text(_Errors(2, "w", closefd=False), sys.stderr)  # type: ignore[misc]


def flush() -> None:
    """Raises ReaderGone, and ManyeyesError where what was printed cannot be written."""
    sys.stdout.flush()


def _text(raw: io.FileIO, before: Any) -> io.TextIOWrapper:
    """A file's name may hold what the terminal's encoding lacks: it is shown escaped."""
    eager = raw.fileno() == 2 or raw.isatty()
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=getattr(before, "encoding", None),
        errors="backslashreplace",
        line_buffering=eager,
    )


def _to_nowhere(number: int) -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, number)
    os.close(null)
