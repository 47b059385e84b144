"""Results in, results on disk: an append-only file of checksummed frames, fsynced before Redis forgets them."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np

from common.errors import ManyeyesError
from common.messages import ShardId, ShardResult
from producer.itemset import ItemSet

#: magic, payload length, payload CRC-32, generation, first item, item count, CRC-32 of what stands before.
_FRAME = struct.Struct("<4sIIIQII")
_MAGIC = b"MEj1"


@dataclass(frozen=True, slots=True)
class _Frame:
    shard: ShardId
    offset: int
    length: int
    crc: int


class Journal:
    """The run's results so far. An item is done when its frame is here.

    A higher generation is another try at items that had failed: for each item the newest result counts, and those that
    failed in an older generation only are not done.
    """

    def __init__(self, path: Path, generation: int = 0) -> None:
        self._path = path
        self.generation = generation
        self._frames: list[_Frame] = []
        self.done = ItemSet()
        end = self._scan() if path.exists() else 0
        self._file: BinaryIO = path.open("r+b" if path.exists() else "w+b")
        # A torn tail is what a crash left of an append that Redis still has.
        self._file.truncate(end)
        self._file.seek(end)
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
        """Read all frames' headers; returns where the last whole one ends."""
        end = 0
        with self._path.open("rb") as file:
            while (frame := _read_frame(file)) is not None:
                end = frame.offset + frame.length
                self._note(frame)
        return end

    def append(self, results: Sequence[ShardResult], payloads: Sequence[bytes]) -> None:
        """Durable when it returns. Shards whose items are done already are passed over."""
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
            self._note(_Frame(result.shard, offset, len(payload), zlib.crc32(payload)))
            wrote = True
        if wrote:
            self._file.flush()
            os.fsync(self._file.fileno())

    def _note(self, frame: _Frame) -> None:
        self.done.add(frame.shard.first, frame.shard.count)
        self._frames.append(frame)

    def results(self) -> Iterator[ShardResult]:
        """The newest result of each item, in item order, read one shard at a time; parts of those that were redone."""
        with self._path.open("rb") as file:
            for frame, first, count in self._newest():
                file.seek(frame.offset)
                result = ShardResult.decode(file.read(frame.length))
                yield result if count == frame.shard.count else result.part(first, count)

    def _newest(self) -> Iterator[tuple[_Frame, int, int]]:
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
        self._file.close()


def _pack_head(shard: ShardId, payload: bytes) -> bytes:
    body = (_MAGIC, len(payload), zlib.crc32(payload), shard.generation, shard.first, shard.count)
    return _FRAME.pack(*body, zlib.crc32(_FRAME.pack(*body, 0)))


def _read_frame(file: BinaryIO) -> _Frame | None:
    """The next frame, checked whole; None at the end or where it is torn."""
    head = file.read(_FRAME.size)
    if len(head) < _FRAME.size:
        return None
    magic, length, crc, generation, first, count, head_crc = _FRAME.unpack(head)
    body = (magic, length, crc, generation, first, count)
    if magic != _MAGIC or head_crc != zlib.crc32(_FRAME.pack(*body, 0)):
        return None
    offset = file.tell()
    payload = file.read(length)
    if len(payload) < length or zlib.crc32(payload) != crc:
        return None
    return _Frame(ShardId(generation, first, count), offset, length, crc)
