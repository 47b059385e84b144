"""Holds what a list was found to name, and the words for a line of it that is refused or skipped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from common.datasets.base import display_path
from common.errors import UsageError


@dataclass(slots=True)
class Listed:
    """What lists name: absolute paths or URLs, and what their user should know of how they were read."""

    names: list[bytes]
    notes: list[str] = field(default_factory=list)
    #: Lines that are no paths: comments, the head of a table.
    skipped: int = 0

    def add(self, other: Listed) -> None:
        self.names += other.names
        self.notes += other.notes
        self.skipped += other.skipped


@dataclass(frozen=True, slots=True)
class Line:
    """One of a list, for messages."""

    list: str
    number: int
    text: bytes

    def refusal(self, why: str) -> UsageError:
        return UsageError(f"list {self.list}: line {self.number}, {shown(self.text)}, {why}")

    def checked(self, path: bytes) -> bytes:
        """The path that the line means. Raises UsageError for '/', which would be an item without a name."""
        if path == b"/":
            raise self.refusal("names the whole disk; give the path of an image")
        return path


def skipped_note(name: str, skipped: Sequence[bytes]) -> list[str]:
    """At most one."""
    if not skipped:
        return []
    count = f"{len(skipped):,} lines are no paths and were" if skipped[1:] else "one line is no path and was"
    return [f"list {name}: {count} skipped{', the first' if skipped[1:] else ''}: {shown(skipped[0])}"]


def shown(line: bytes) -> str:
    text = display_path(line)
    return repr(text if len(text) <= 80 else f"{text[:80]}...")
