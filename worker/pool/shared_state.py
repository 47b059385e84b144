"""What each pool process is at, in memory that its death can't erase: shared with the worker's parent."""

from __future__ import annotations

import mmap
import os
import struct
import time
from dataclasses import dataclass

#: Pool processes of one worker, at most.
MAX_SLOTS = 1024
#: pid, images begun, item or one of the two below, attempt, seconds that an image may take, run, shard.
_SLOT = struct.Struct("<qQqqd32s40s")
_NO_ITEM, _TOLD_TO_END = -1, -2
_PID = struct.Struct("<q")
#: images begun, item: what changes with every image.
_STEP = struct.Struct("<Qq")
_STEP_AT = _PID.size
#: First bytes of the memory: the worker is about to end; a process could not load its detectors.
_ENDING_AT, _FAILED_AT, _SLOTS_AT = 0, 1, 64
#: Seconds for the parent to read what a dead process left, before its successor takes the slot.
_PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class Entry:
    """One process, at one image (`item` None: between images)."""

    pid: int
    begun: int
    item: int | None
    attempt: int
    image_timeout: float
    #: Empty while it has none.
    run: str
    shard: str
    #: By a TERM: it does not die of an image.
    told_to_end: bool = False

    @property
    def step(self) -> tuple[int, int, int | None]:
        """Changes with every image, and between two."""
        return self.pid, self.begun, self.item


class Recorder:
    """Made in the worker's parent before it forks; its memory belongs to parent and pool processes alike."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _SLOTS_AT + MAX_SLOTS * _SLOT.size)

    # The parent's side.

    def entries(self) -> dict[int, Entry]:
        """Slot to entry, of the slots that are taken."""
        found = {}
        for slot in range(MAX_SLOTS):
            if _PID.unpack_from(self._memory, _at(slot))[0]:
                found[slot] = self.entry(slot)
        return found

    def entry(self, slot: int) -> Entry:
        pid, begun, item, attempt, timeout, run, shard = _SLOT.unpack_from(self._memory, _at(slot))
        names = (run.rstrip(b"\0").decode(), shard.rstrip(b"\0").decode())
        return Entry(pid, begun, item if item >= 0 else None, attempt, timeout, *names, item == _TOLD_TO_END)

    def free(self, slot: int) -> None:
        _PID.pack_into(self._memory, _at(slot), 0)

    def end(self) -> None:
        """Tell the pool processes to give their shards back."""
        self._memory[_ENDING_AT] = 1

    @property
    def ending(self) -> bool:
        return self._memory[_ENDING_AT] == 1

    @property
    def failed(self) -> bool:
        return self._memory[_FAILED_AT] == 1

    # A pool process's side.

    def fail(self) -> None:
        """This process could not load what the worker serves."""
        self._memory[_FAILED_AT] = 1

    def slot(self, number: int) -> Slot:
        """Take a slot. That of a dead process is taken once the parent has read it."""
        deadline = time.monotonic() + _PATIENCE_S
        while _PID.unpack_from(self._memory, _at(number))[0] and time.monotonic() < deadline:
            time.sleep(0.01)
        return Slot(self, self._memory, number)


class Slot:
    """Where one pool process writes. A write takes less than a microsecond."""

    def __init__(self, recorder: Recorder, memory: mmap.mmap, number: int) -> None:
        self._recorder = recorder
        self._memory = memory
        self._at = _at(number)
        self._begun = 0
        self._told_to_end = False
        self.no_shard()

    @property
    def ending(self) -> bool:
        return self._recorder.ending

    def shard(self, run: str, shard: str, attempt: int, image_timeout: float) -> None:
        _SLOT.pack_into(
            *(self._memory, self._at, os.getpid(), self._begun, _NO_ITEM),
            *(attempt, image_timeout, run.encode(), shard.encode()),
        )

    def no_shard(self) -> None:
        """What was claimed is committed or given up: a death now concerns none."""
        if not self._told_to_end:
            self.shard("", "", 0, 0.0)

    def item(self, item: int) -> None:
        """An image begins; the one before it has ended."""
        self._begun += 1
        _STEP.pack_into(self._memory, self._at + _STEP_AT, self._begun, item)

    def between(self) -> None:
        """No image is at hand."""
        _STEP.pack_into(self._memory, self._at + _STEP_AT, self._begun, _NO_ITEM)

    def told_to_end(self) -> None:
        """It will die with the shard that it has: nothing is written any more."""
        self._told_to_end = True
        _STEP.pack_into(self._memory, self._at + _STEP_AT, self._begun, _TOLD_TO_END)


def _at(slot: int) -> int:
    return _SLOTS_AT + slot * _SLOT.size
