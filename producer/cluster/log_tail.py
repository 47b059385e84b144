"""An error in, its line in a log file out; and the last one of a file back again. Standard library only."""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

#: Bytes at a log's end in which a process's last words are looked for.
_LAST_WORDS = 1 << 16
#: A one-line error of ours, as it is printed, or as a line of a log.
_ERROR_LINE = re.compile(r"(?:\[[^]]*\] )?error: (.+)")


def error_line(error: Exception) -> str:
    """How a process that logs nothing else says why it ends."""
    return f"[{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}] error: {error}"


@dataclass(frozen=True, slots=True)
class Log:
    """The part of a log file that is written from now on."""

    path: Path
    start: int

    @classmethod
    def from_here(cls, path: Path) -> Log:
        return cls(path, path.stat().st_size if path.exists() else 0)

    def last_error(self) -> str | None:
        """As we write them."""
        found = (_ERROR_LINE.fullmatch(_message(line)) for line in reversed(self._end().splitlines()))
        return next((match[1] for match in found if match), None)

    def last_line(self) -> str | None:
        """Of a program that writes errors in its own way."""
        lines = self._end().strip().splitlines()
        return lines[-1] if lines else None

    def _end(self) -> str:
        try:
            with self.path.open("rb") as log:
                size = log.seek(0, os.SEEK_END)
                log.seek(max(self.start, size - _LAST_WORDS))
                return log.read().decode(errors="replace")
        except FileNotFoundError:
            return ""


def _message(line: str) -> str:
    """Of a log in JSON, the message that is in the line."""
    if line.startswith("{"):
        with contextlib.suppress(ValueError):
            return str(json.loads(line).get("message"))
    return line
