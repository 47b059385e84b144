"""What travels: shard ids and messages to the workers, results back."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from common.errors import ItemCode, ProtocolError
from common.limits import (
    MAX_HEAD_BYTES,
    MAX_INSTANT,
    MAX_NAME,
    MAX_PATH_BYTES,
    MAX_RESULT_BYTES,
    MAX_SHARD_ITEMS,
    PROTOCOL,
)
from common.protocol import record_check

#: The one task that workers run; the producer sends it by this name.
DETECT_TASK = "manyeyes.detect"


def task_queue(queue: str, protocol: int = PROTOCOL) -> str:
    """The Celery queue of what serves a detector. Of another protocol, another: two versions can share a broker."""
    return f"queue.{protocol}.{queue}"


#: Priorities of messages in Redis, where 0 is the highest: what is sent again overtakes all that waits in its turn.
AHEAD, IN_TURN = 0, 3


def queue_keys(name: str) -> tuple[str, str]:
    """Under which kombu keeps a queue's messages in Redis, by their priority. After our prefix."""
    return name, f"{name}\x06\x16{IN_TURN}"


#: One detection of a result. `row` counts the shard's items from 0; boxes are float32 pixels, x1 <= x2, y1 <= y2.
DETECTION_DTYPE = np.dtype(
    [
        ("row", "<i4"),
        ("class_id", "<i4"),
        ("score", "<f4"),
        ("x1", "<f4"),
        ("y1", "<f4"),
        ("x2", "<f4"),
        ("y2", "<f4"),
    ]
)
DetectionArray = npt.NDArray[np.void]

_SHARD_ID = re.compile(r"([0-9]{1,9}):([0-9]{1,15})\+([0-9]{1,9})")
_RUN = re.compile(r"[0-9A-Za-z-]{1,32}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_RESULT_HEADER = struct.Struct("<4sI")
_RESULT_MAGIC = b"MEy1"


@dataclass(frozen=True, slots=True, order=True)
class ShardId:
    """A run of consecutive items: `generation:first+count`."""

    generation: int
    first: int
    count: int

    def __str__(self) -> str:
        return f"{self.generation}:{self.first}+{self.count}"

    @classmethod
    def parse(cls, text: str) -> ShardId:
        match = _SHARD_ID.fullmatch(text)
        if match is None:
            raise ProtocolError(f"shard id {text!r} is not generation:first+count")
        shard = cls(*(int(part) for part in match.groups()))
        if not 0 < shard.count <= MAX_SHARD_ITEMS:
            raise ProtocolError(f"shard {text} holds {shard.count} items; 1 to {MAX_SHARD_ITEMS} are allowed")
        return shard

    def halves(self) -> tuple[ShardId, ShardId]:
        """The two shards that a split of this one opens. Needs count >= 2."""
        left = self.count // 2
        return (
            ShardId(self.generation, self.first, left),
            ShardId(self.generation, self.first + left, self.count - left),
        )

    def beginning(self, count: int) -> ShardId:
        """Its first items, as a shard."""
        return ShardId(self.generation, self.first, count)

    def rest(self, beginning: ShardId) -> ShardId | None:
        """What is left behind its beginning; None where that is all of it. Raises ProtocolError for what is no such."""
        if (beginning.generation, beginning.first) != (self.generation, self.first) or beginning.count > self.count:
            raise ProtocolError(f"{beginning} is not a beginning of shard {self}")
        left = self.count - beginning.count
        return ShardId(self.generation, self.first + beginning.count, left) if left else None

    def pieces(self, size: int) -> tuple[ShardId, ...]:
        """Shards of so many items each, but for the last one."""
        end = self.first + self.count
        return tuple(ShardId(self.generation, first, min(size, end - first)) for first in range(self.first, end, size))

    def around(self, item: int) -> tuple[ShardId, ...]:
        """The shards that a split opens to leave one of the items alone: what is before it, it, what is after."""
        end = self.first + self.count
        bounds = ((self.first, item), (item, item + 1), (item + 1, end))
        return tuple(ShardId(self.generation, first, stop - first) for first, stop in bounds if first < stop)


def pack_items(paths: Sequence[bytes]) -> bytes:
    """Relative paths as one value: no path holds a NUL, so no escaping and nothing to get wrong."""
    return b"\0".join(paths)


def unpack_items(packed: bytes, shard: ShardId) -> list[bytes]:
    """Raises ProtocolError for what is not so many paths, none of them empty or too long."""
    if (count := packed.count(b"\0") + 1) != shard.count:
        raise ProtocolError(f"shard {shard} holds {count} items")
    paths = packed.split(b"\0")
    if not all(0 < len(path) <= MAX_PATH_BYTES for path in paths):
        raise ProtocolError(f"shard {shard} holds a path of 0 bytes, or of more than {MAX_PATH_BYTES}")
    return paths


@dataclass(frozen=True, slots=True)
class ShardMessage:
    """The body of one Celery task: where to find the work, never the work itself."""

    run: str
    shard: ShardId
    attempt: int
    spec_digest: str
    v: int = PROTOCOL

    @property
    def task_id(self) -> str:
        """Celery's name for it."""
        return f"{self.run}/{self.shard}/{self.attempt}"

    def to_kwargs(self) -> dict[str, Any]:
        return {**{f.name: getattr(self, f.name) for f in fields(self)}, "shard": str(self.shard)}

    @classmethod
    def from_kwargs(cls, kwargs: dict[str, Any]) -> ShardMessage:
        """Raises ProtocolError for another version or wrong types."""
        if kwargs.get("v") != PROTOCOL:
            raise ProtocolError(
                f"message of protocol {kwargs.get('v')!r}; this worker speaks {PROTOCOL}: "
                "run the same manyeyes version on the producer and the workers"
            )
        run, shard, attempt, digest = (kwargs.get(k) for k in ("run", "shard", "attempt", "spec_digest"))
        if not (isinstance(run, str) and isinstance(shard, str) and isinstance(digest, str)):
            raise ProtocolError("message without run, shard or spec_digest")
        if not (_RUN.fullmatch(run) and _DIGEST.fullmatch(digest)):
            raise ProtocolError(f"message of a run {run!r} or a spec {digest!r} that cannot be")
        if type(attempt) is not int or not 0 < attempt < 1 << 31 or len(kwargs) != 5:
            raise ProtocolError("message with a wrong attempt or unknown fields")
        return cls(run, ShardId.parse(shard), attempt, digest)


@dataclass(frozen=True, slots=True)
class ItemTiming:
    """Where one image's time went. `started` is UTC seconds; the stages are monotonic seconds."""

    started: float = 0.0
    fetch_s: float = 0.0
    decode_s: float = 0.0
    preprocess_s: float = 0.0
    infer_s: float = 0.0
    postprocess_s: float = 0.0


_TIMINGS = len(fields(ItemTiming))


@dataclass(frozen=True, slots=True)
class ItemRecord:
    """What a process says of one item. `error_code` None means ok; width and height are after rotation."""

    bytes: int | None = None
    content_sha256: str | None = None
    width: int | None = None
    height: int | None = None
    exif_orientation: int | None = None
    error_code: ItemCode | None = None
    error: str | None = None
    timing: ItemTiming = ItemTiming()
    #: More than 8 bits a channel, which were mapped to 8.
    deep: bool = False

    @property
    def ok(self) -> bool:
        return self.error_code is None


@dataclass(frozen=True, slots=True, eq=False)
class ShardResult:
    """A shard's outcome: one record an item, in item order, and all their detections in one array.

    `detections` (DETECTION_DTYPE) is ordered by row, score descending, class, box.
    """

    shard: ShardId
    attempt: int
    worker: str
    process: int
    records: tuple[ItemRecord, ...]
    detections: DetectionArray
    #: Seconds of CPU (user and system) that the process spent on this shard.
    cpu_s: float = 0.0
    #: Seconds from the shard's claim to its commit, on the process's monotonic clock.
    busy_s: float = 0.0

    @staticmethod
    def no_detections() -> DetectionArray:
        return np.empty(0, DETECTION_DTYPE)

    def part(self, first: int, count: int) -> ShardResult:
        """Some of the items, as a result of their own. `first` is an item number."""
        start = first - self.shard.first
        rows = self.detections["row"]
        low, high = np.searchsorted(rows, (start, start + count))
        detections = self.detections[low:high].copy()
        detections["row"] -= start
        shard = ShardId(self.shard.generation, first, count)
        return replace(self, shard=shard, records=self.records[start : start + count], detections=detections)

    def encode(self) -> bytes:
        """Length-prefixed JSON, then the detections' raw little-endian bytes: nothing in it can be executed."""
        head = json.dumps(
            {
                "shard": str(self.shard),
                "attempt": self.attempt,
                "worker": self.worker,
                "process": self.process,
                "cpu_s": round(self.cpu_s, 6),
                "busy_s": round(self.busy_s, 6),
                "records": [_pack_record(record) for record in self.records],
            },
            separators=(",", ":"),
        ).encode()
        return _RESULT_HEADER.pack(_RESULT_MAGIC, len(head)) + head + self.detections.tobytes()

    @classmethod
    def decode(cls, data: bytes) -> ShardResult:
        """Raises ProtocolError for anything that `encode` does not write."""
        if len(data) > MAX_RESULT_BYTES:
            raise ProtocolError(f"a result of {len(data)} bytes; at most {MAX_RESULT_BYTES} are allowed")
        try:
            magic, length = _RESULT_HEADER.unpack_from(data)
            if magic != _RESULT_MAGIC:
                raise ProtocolError("a result that does not begin with its mark")
            if length > MAX_HEAD_BYTES:
                raise ProtocolError(f"a result with a head of {length} bytes; at most {MAX_HEAD_BYTES} are allowed")
            body = _RESULT_HEADER.size + length
            head = json.loads(data[_RESULT_HEADER.size : body])
            record_check.check(head["records"])
            detections = np.frombuffer(data, DETECTION_DTYPE, offset=body)
            result = cls(
                shard=ShardId.parse(head["shard"]),
                attempt=int(head["attempt"]),
                worker=str(head["worker"]),
                process=int(head["process"]),
                cpu_s=float(head["cpu_s"]),
                busy_s=float(head["busy_s"]),
                records=tuple(_unpack_record(row) for row in head["records"]),
                detections=detections,
            )
        except (struct.error, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise ProtocolError(f"a result that cannot be read: {error}") from None
        if not (
            0 <= result.attempt < 1 << 31
            and 0 <= result.process < 1 << 31
            and 0 <= result.cpu_s < MAX_INSTANT
            and 0 <= result.busy_s < MAX_INSTANT
            and len(result.worker) <= MAX_NAME
            and result.worker.isprintable()
        ):
            raise ProtocolError(f"shard {result.shard}: a result of a process that cannot be")
        if len(result.records) != result.shard.count:
            raise ProtocolError(f"shard {result.shard}: {len(result.records)} records for {result.shard.count} items")
        rows = detections["row"]
        if len(rows) and not (rows.min() >= 0 and rows.max() < result.shard.count and (np.diff(rows) >= 0).all()):
            raise ProtocolError(f"shard {result.shard}: detections outside its items, or out of order")
        if len(rows) and not (detections["class_id"].min() >= 0 and _finite(detections)):
            raise ProtocolError(f"shard {result.shard}: detections of no class, or that are no numbers")
        return result


def _finite(detections: DetectionArray) -> bool:
    """Scores and boxes."""
    numbers = detections.view("<f4").reshape(len(detections), -1)[:, 2:]
    return bool(np.isfinite(numbers).all())


def _pack_record(record: ItemRecord) -> list[Any]:
    timing = record.timing
    return [
        record.bytes,
        record.content_sha256,
        record.width,
        record.height,
        record.exif_orientation,
        record.error_code,
        record.error,
        round(timing.started, 6),
        *(round(value, 6) for name, value in asdict(timing).items() if name != "started"),
        record.deep,
    ]


def _unpack_record(row: list[Any]) -> ItemRecord:
    size, sha, width, height, orientation, code, error, *rest = row
    timing, deep = rest[:_TIMINGS], rest[_TIMINGS:]
    return ItemRecord(
        bytes=size,
        content_sha256=sha,
        width=width,
        height=height,
        exif_orientation=orientation,
        error_code=None if code is None else ItemCode(code),
        error=error,
        timing=ItemTiming(*timing),
        deep=deep == [True],  # protocol 2, whose journals are still read, had no such column
    )
