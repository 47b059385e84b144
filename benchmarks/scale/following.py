"""A journal in, while another process writes it; its frames, and when each was there, out."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from producer.rundir.journal import Frame, frames

#: Seconds between looks at a journal: how exact the instants of its frames are.
_TAIL_S = 0.02


class Tail(threading.Thread):
    """Notes the frames of a journal that another process writes, and the UTC instant at which each was there."""

    def __init__(self, path: Path) -> None:
        super().__init__(name="tail", daemon=True)
        self._path = path
        self._end = 0
        self.seen: list[tuple[Frame, float]] = []
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(_TAIL_S):
            self.look()

    def look(self) -> None:
        for frame in frames(self._path, self._end):
            if frame.begin != self._end:
                return  # behind one that is not whole yet
            self._end = frame.end
            self.seen.append((frame, time.time()))

    @property
    def items(self) -> int:
        return sum(frame.shard.count for frame, _ in self.seen)

    def end(self) -> list[tuple[Frame, float]]:
        self._ended.set()
        self.join()
        self.look()
        return self.seen
