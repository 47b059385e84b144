"""Stretches of item numbers in, which are missing out: one byte an item."""

from __future__ import annotations


class ItemSet:
    """A set of item numbers that is filled in stretches."""

    def __init__(self) -> None:
        self._marks = bytearray()
        self.count = 0

    def add(self, first: int, count: int) -> None:
        end = first + count
        if len(self._marks) < end:
            self._marks.extend(bytes(end - len(self._marks)))
        self.count += self._marks.count(0, first, end)
        self._marks[first:end] = b"\1" * count

    def copy(self) -> ItemSet:
        other = ItemSet()
        other._marks, other.count = self._marks[:], self.count
        return other

    def touches(self, first: int, count: int) -> bool:
        """Whether any of these is in the set."""
        return self._marks.find(1, first, first + count) >= 0

    def covers(self, first: int, count: int) -> bool:
        return self._marks[first : first + count] == b"\1" * count

    def next_gap(self, first: int, limit: int) -> tuple[int, int] | None:
        """The first stretch (start, end) of numbers from `first` on, below `limit`, that is not in the set."""
        start = self._marks.find(0, first)
        if start < 0:
            start = max(first, len(self._marks))
        if start >= limit:
            return None
        end = self._marks.find(1, start)
        return start, limit if end < 0 else min(end, limit)
