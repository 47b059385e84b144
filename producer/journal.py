"""Results in, results on disk: an append-only file of checksummed frames, fsynced before Redis forgets them."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

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
    """The run's results so far. An item is done when its frame is here."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._frames: list[_Frame] = []
        self.done = ItemSet()
        end = self._scan() if path.exists() else 0
        self._file: BinaryIO = path.open("r+b" if path.exists() else "w+b")
        # A torn tail is what a crash left of an append that Redis still has.
        self._file.truncate(end)
        self._file.seek(end)

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
        """All results in item order, read one at a time."""
        with self._path.open("rb") as file:
            for frame in sorted(self._frames, key=lambda frame: frame.shard.first):
                file.seek(frame.offset)
                yield ShardResult.decode(file.read(frame.length))

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
