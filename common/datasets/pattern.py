"""Matches paths against a glob's segments."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from common.datasets.base import pack_path, unpack_path

#: Folders.
_REMEMBERED = 2048


@dataclass(frozen=True, slots=True)
class _Way:
    """How far a pattern has come with the parts of a path."""

    #: A folder above the last part matches.
    taken: bool
    #: How many segments can be used up by all parts.
    reached: frozenset[int]


@dataclass(frozen=True)
class Pattern:
    """The segments of a pattern, from its first wildcard on. `**` is any number of folders, none included.

    A folder that the whole pattern matches is taken with all that is below it, as a shell's expansion would be.
    """

    segments: tuple[str, ...]
    #: By folder, how far the pattern has come there: what lies in it need not begin at the root again.
    _come: dict[str, _Way] = field(default_factory=dict, compare=False, repr=False)

    @property
    def spelled(self) -> frozenset[bytes]:
        """The names in it that have no wildcard."""
        return frozenset(unpack_path(one) for one in self.segments if not glob.has_magic(one))

    def enters(self, folder: bytes) -> bool:
        way = self._remembered(pack_path(folder))
        return way.taken or bool(way.reached)

    def takes(self, file: bytes) -> bool:
        return self.matches(pack_path(file))

    def matches(self, path: str, is_folder: bool = False) -> bool:
        """Whether it matches a path, or a folder that the path is in."""
        way = self._remembered(path) if is_folder else self._way(path)
        return way.taken or len(self.segments) in way.reached

    def _remembered(self, folder: str) -> _Way:
        if len(self._come) >= _REMEMBERED:
            self._come.clear()
        way = self._come[folder] = self._way(folder)
        return way

    def _way(self, path: str) -> _Way:
        folder, slash, name = path.rpartition("/")
        if (known := self._come.get(folder) if slash else None) is not None:
            return self._step(known, name)
        way = _Way(False, frozenset((0,)))
        for part in path.split("/"):
            way = self._step(way, part)
        return way

    def _step(self, way: _Way, part: str) -> _Way:
        if way.taken:
            return way
        # All ways are gone at once: paths may have thousands of parts.
        numbers = {number for reached in way.reached for number in self._without_folders(reached)}
        if len(self.segments) in numbers:
            return _Way(True, frozenset())
        return _Way(False, frozenset(after for one in numbers if (after := self._after(one, part)) is not None))

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
