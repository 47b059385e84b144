"""A dataset's listing in, a durable numbered list of items out: fsynced segments of NUL-ended paths."""

from __future__ import annotations

import hashlib
import itertools
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from common import atomic_files
from common.errors import ManyeyesError, UsageError

#: Items a segment: one fsync each, and what a reader holds in memory at a time.
SEGMENT_ITEMS = 8192
_COMPLETE = "complete.json"


class Manifest:
    """The items of one run. One thread appends, another may read what is durable."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._segments = sorted(folder.glob("*.paths"))
        for number, segment in enumerate(self._segments):
            if segment.name != _segment_name(number):
                raise ManyeyesError(f"manifest {folder} lacks {_segment_name(number)}; the run cannot go on")
        self._cached: tuple[int, list[bytes]] = (-1, [])
        self.items = 0
        if self._segments:
            last = len(self._segments) - 1
            self.items = last * SEGMENT_ITEMS + len(self._segment(last))
        self.complete = (folder / _COMPLETE).exists()

    def append_all(
        self,
        paths: Iterable[bytes],
        counts: Callable[[], dict[str, int]] = dict,
        enough: threading.Event | None = None,
    ) -> None:
        """Make the whole listing durable, segment by segment; what is durable already must be its prefix.

        `counts` says at the end what the listing passed over. `enough` ends it before, incomplete.
        Raises UsageError where the dataset no longer begins as it did.
        """
        stream = iter(paths)
        for number in itertools.count():
            segment = list(itertools.islice(stream, SEGMENT_ITEMS))
            if enough is not None and enough.is_set():
                return
            if number < len(self._segments):
                self._check_prefix(number, segment)
            if segment and (number >= len(self._segments) or len(segment) > len(self._segment(number))):
                self._write(number, segment)
            if len(segment) < SEGMENT_ITEMS:
                break
        self._finish(counts())

    def _check_prefix(self, number: int, segment: list[bytes]) -> None:
        known = self._segment(number)
        if segment[: len(known)] != known:
            raise UsageError(
                f"the dataset has changed since this run began (near item {number * SEGMENT_ITEMS}); "
                "restore it, or submit it as a new run"
            )

    def _write(self, number: int, segment: list[bytes]) -> None:
        path = self.folder / _segment_name(number)
        with atomic_files.atomic_file(path) as file:
            file.write(b"".join(item + b"\0" for item in segment))
        with self._lock:
            if number == len(self._segments):
                self._segments.append(path)
            self._cached = (-1, [])
            self.items = number * SEGMENT_ITEMS + len(segment)

    def _finish(self, counts: dict[str, int]) -> None:
        facts = {"items": self.items, "sha256": self.digest(), "listing": counts}
        atomic_files.write_json(self.folder / _COMPLETE, facts)
        self.complete = True

    def facts(self) -> dict[str, Any]:
        """Of a complete manifest: `items`, `sha256`, and `listing`, what was passed over."""
        facts: dict[str, Any] = json.loads((self.folder / _COMPLETE).read_text())
        return facts

    def digest(self) -> str:
        """SHA-256 over all segments' bytes."""
        sha = hashlib.sha256()
        for segment in self._segments:
            sha.update(segment.read_bytes())
        return sha.hexdigest()

    def check(self) -> None:
        """Raises ManyeyesError where a complete manifest is not what it was."""
        known = self.facts()
        if (known["items"], known["sha256"]) != (self.items, self.digest()):
            raise ManyeyesError(f"manifest {self.folder} is damaged: it does not agree with its {_COMPLETE}")

    def read(self, first: int, count: int) -> list[bytes]:
        """Durable items `first` to `first + count`, fewer at the end."""
        found: list[bytes] = []
        while len(found) < count and first + len(found) < self.items:
            number, offset = divmod(first + len(found), SEGMENT_ITEMS)
            found += self._segment(number)[offset : offset + count - len(found)]
        return found

    def __iter__(self) -> Iterator[bytes]:
        for number in range(len(self._segments)):
            yield from self._segment(number)

    def _segment(self, number: int) -> list[bytes]:
        cached, paths = self._cached
        if cached != number:
            paths = self._segments[number].read_bytes().split(b"\0")[:-1]
            self._cached = (number, paths)
        return paths


def _segment_name(number: int) -> str:
    return f"{number:08d}.paths"
