"""A log file in, the last error that its process wrote out."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

#: Bytes at a log's end in which a process's last words are looked for.
_LAST_WORDS = 1 << 16
#: A one-line error of ours, as it is printed, or as Celery logs what a pool process printed.
_ERROR_LINE = re.compile(r"^(?:\[[^]]*\] )?error: (.+)$", re.MULTILINE)


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
        lines: list[str] = _ERROR_LINE.findall(self._end())
        return lines[-1] if lines else None

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
