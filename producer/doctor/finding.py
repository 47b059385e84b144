"""One thing that was looked at, how it is, and what to do."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Level(StrEnum):
    OK = "ok"
    #: Good to know.
    NOTE = "note"
    #: It works, and will not always.
    WARNING = "warning"
    #: A run fails, hangs or is unsafe.
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    level: Level
    #: What was looked at, a word or two.
    part: str
    #: How it is.
    words: str
    #: What to do; empty where there is nothing to do.
    remedy: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def ok(part: str, words: str) -> Finding:
    return Finding(Level.OK, part, words)


def note(part: str, words: str, remedy: str = "") -> Finding:
    return Finding(Level.NOTE, part, words, remedy)


def warning(part: str, words: str, remedy: str) -> Finding:
    return Finding(Level.WARNING, part, words, remedy)


def failed(part: str, words: str, remedy: str) -> Finding:
    return Finding(Level.FAILED, part, words, remedy)
