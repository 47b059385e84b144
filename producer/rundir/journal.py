"""Results in, results on disk: an append-only file of checksummed frames, fsynced before Redis forgets them."""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np

from common import atomic_files, os_errors
from common.errors import ManyeyesError
from common.protocol.messages import ShardId, ShardResult
from producer.rundir.item_set import ItemSet

#: magic, payload length, payload CRC-32, generation, first item, item count, CRC-32 of what stands before.
_FRAME = struct.Struct("<4sIIIQII")
_MAGIC = b"MEj1"
#: Bytes of a journal that a reader of all its frames has in memory.
_READ_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Frame:
    shard: ShardId
    #: Of the payload, which stands right behind its head.
    offset: int
    length: int

    @property
    def begin(self) -> int:
        return self.offset - _FRAME.size

    @property
    def end(self) -> int:
        return self.offset + self.length


class Journal:
    """The run's results so far. An item is done when its frame is here.

    A higher generation is another try at items that had failed: for each item the newest result counts, and those that
    failed in an older generation only are not done.
    """

    def __init__(self, path: Path, generation: int = 0) -> None:
        self._path = path
        self.generation = generation
        self._frames: list[Frame] = []
        self.done = ItemSet()
        if path.exists() and self._scan():
            # A torn tail is what a crash left of an append that Redis still has; what a disk has damaged is done again.
            self._drop_damage()
        self._file: BinaryIO = path.open("ab")
        if generation:
            self._settle()

    def _settle(self) -> None:
        """What is done in this generation: its own results, and older ones that are good."""
        self.done = ItemSet()
        for result in self.results():
            for row, record in enumerate(result.records):
                if record.ok or result.shard.generation >= self.generation:
                    self.done.add(result.shard.first + row, 1)

    def _scan(self) -> int:
        """Note all whole frames; returns the bytes that belong to none."""
        whole = 0
        for frame in frames(self._path):
            self._note(frame)
            whole += frame.end - frame.begin
        return self._path.stat().st_size - whole

    def _drop_damage(self) -> None:
        end = self._frames[-1].end if self._frames else 0
        if sum(frame.end - frame.begin for frame in self._frames) == end:
            os.truncate(self._path, end)
            return
        with self._path.open("rb") as old, atomic_files.atomic_file(self._path) as new:
            kept = []
            for frame in self._frames:
                old.seek(frame.begin)
                begin = new.tell()
                new.write(old.read(frame.end - frame.begin))
                kept.append(replace(frame, offset=begin + frame.offset - frame.begin))
            self._frames = kept

    def append(self, results: Sequence[ShardResult], payloads: Sequence[bytes]) -> None:
        """Durable when it returns. Shards whose items are done already are passed over."""
        with os_errors.naming(self._path):
            self._append(results, payloads)

    def _append(self, results: Sequence[ShardResult], payloads: Sequence[bytes]) -> None:
        wrote = False
        for result, payload in zip(results, payloads, strict=True):
            first, count = result.shard.first, result.shard.count
            if self.done.covers(first, count):
                continue
            if self.done.touches(first, count):
                raise ManyeyesError(f"shard {result.shard} overlaps items of {self._path} that are done")
            head = _pack_head(result.shard, payload)
            offset = self._file.tell() + len(head)
            self._file.write(head + payload)
            self._note(Frame(result.shard, offset, len(payload)))
            wrote = True
        if wrote:
            self._file.flush()
            os.fsync(self._file.fileno())

    def _note(self, frame: Frame) -> None:
        self.done.add(frame.shard.first, frame.shard.count)
        self._frames.append(frame)

    def results(self) -> Iterator[ShardResult]:
        """The newest result of each item, in item order, read one shard at a time; parts of those that were redone."""
        with self._path.open("rb") as file:
            for frame, first, count in self._newest():
                file.seek(frame.offset)
                result = ShardResult.decode(file.read(frame.length))
                yield result if count == frame.shard.count else result.part(first, count)

    def _newest(self) -> Iterator[tuple[Frame, int, int]]:
        """(frame, first item, items) for each stretch in which one frame is the newest."""
        frames = sorted(self._frames, key=lambda frame: frame.shard)
        if not frames or frames[-1].shard.generation == 0:
            yield from ((frame, frame.shard.first, frame.shard.count) for frame in frames)
            return
        items = max(frame.shard.first + frame.shard.count for frame in frames)
        newest = np.full(items + 1, -1, np.int32)
        for number, frame in enumerate(frames):
            newest[frame.shard.first : frame.shard.first + frame.shard.count] = number
        bounds = np.flatnonzero(np.diff(newest)) + 1
        for first, end in pairwise((0, *map(int, bounds))):
            if newest[first] >= 0:
                yield frames[newest[first]], first, end - first

    def close(self) -> None:
        # What was appended is on disk; what a full one has left in the buffer would only hide the error it gave.
        with contextlib.suppress(OSError):
            self._file.close()


class JournalAsItIs(Journal):
    """Reads only. Opened to append, a journal drops what cannot be read; a receipt changes nothing."""

    def __init__(self, path: Path) -> None:
        self._path, self.generation, self._frames, self.done = path, 0, [], ItemSet()
        #: Bytes that belong to no whole result.
        self.unreadable = self._scan()


def frames(path: Path, start: int = 0) -> Iterator[Frame]:
    """All whole frames from this byte on, also those behind a damaged one."""
    if (size := path.stat().st_size) <= start:
        return
    at, forgotten = start, 0
    with path.open("rb") as file, mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as data:
        while at >= 0:
            if at - forgotten >= _READ_BYTES:
                # Pages that were read count as ours: a million images are 280 MB.
                forgotten = at - at % mmap.PAGESIZE
                data.madvise(mmap.MADV_DONTNEED, 0, forgotten)
            frame = _frame_at(data, at)
            if frame is None:
                at = data.find(_MAGIC, at + 1)
            else:
                yield frame
                at = frame.end


def _pack_head(shard: ShardId, payload: bytes) -> bytes:
    body = (_MAGIC, len(payload), zlib.crc32(payload), shard.generation, shard.first, shard.count)
    return _FRAME.pack(*body, zlib.crc32(_FRAME.pack(*body, 0)))


def _frame_at(data: mmap.mmap, at: int) -> Frame | None:
    """The frame that begins here, checked whole; None where none does, or it is damaged or torn."""
    if at + _FRAME.size > len(data):
        return None
    magic, length, crc, generation, first, count, head_crc = _FRAME.unpack_from(data, at)
    body = (magic, length, crc, generation, first, count)
    if magic != _MAGIC or head_crc != zlib.crc32(_FRAME.pack(*body, 0)):
        return None
    payload = memoryview(data)[at + _FRAME.size : at + _FRAME.size + length]
    try:
        if len(payload) < length or zlib.crc32(payload) != crc:
            return None
    finally:
        payload.release()
    return Frame(ShardId(generation, first, count), at + _FRAME.size, length)
