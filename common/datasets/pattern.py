"""Matches paths against a glob's segments."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from common.datasets.base import pack_path, unpack_path


@dataclass(frozen=True)
class Pattern:
    """The segments of a pattern, from its first wildcard on. `**` is any number of folders, none included.

    A folder that the whole pattern matches is taken with all that is below it, as a shell's expansion would be.
    """

    segments: tuple[str, ...]

    @property
    def spelled(self) -> frozenset[bytes]:
        """The names in it that have no wildcard."""
        return frozenset(unpack_path(one) for one in self.segments if not glob.has_magic(one))

    def enters(self, folder: bytes) -> bool:
        taken, reached = self._walk(pack_path(folder).split("/"))
        return taken or bool(reached)

    def takes(self, file: bytes) -> bool:
        return self.matches(pack_path(file).split("/"))

    def matches(self, parts: Sequence[str]) -> bool:
        """Whether it matches the path of these parts, or a folder that the path is in."""
        taken, reached = self._walk(parts)
        return taken or len(self.segments) in reached

    def _walk(self, parts: Sequence[str]) -> tuple[bool, set[int]]:
        """(whether a folder above the last part matches; how many segments can be used up by the last part).

        All ways are gone at once: paths may have thousands of parts.
        """
        reached = {0}
        for part in parts:
            open_ways = {way for number in reached for way in self._without_folders(number)}
            if len(self.segments) in open_ways:
                return True, open_ways
            reached = {after for number in open_ways if (after := self._after(number, part)) is not None}
        return False, reached

    def _without_folders(self, number: int) -> Iterator[int]:
        """From this segment on, with each `**` that comes first standing for no folder."""
        yield number
        while number < len(self.segments) and self.segments[number] == "**":
            number += 1
            yield number

    def _after(self, number: int, part: str) -> int | None:
        """The segment at which the next part is; None where this one is not matched."""
        if self.segments[number] == "**":
            return number
        return number + 1 if fnmatchcase(part, self.segments[number]) else None
