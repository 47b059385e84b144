"""Committed results in Redis in, durable rows in the journal out; then Redis may forget them."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from common import logs
from common.datasets import display_path, glance, is_url
from common.errors import ItemCode, ManyeyesError, ProtocolError
from common.protocol.ledger import Ledger, OpenShard
from common.protocol.messages import ShardId, ShardResult
from common.stage_histogram import StageSeconds
from producer.rundir.item_set import ItemSet
from producer.rundir.journal import Journal

log = logging.getLogger(__name__)


#: Items whose results an owner holds in memory at a time, about 1 KB each: a thousand processes may end at once.
BATCH_ITEMS = 16_384


def batches(ids: Iterable[ShardId]) -> Iterator[list[ShardId]]:
    """The same, in order, in lists of at most BATCH_ITEMS items, or of one shard."""
    batch: list[ShardId] = []
    items = 0
    for shard in ids:
        if batch and items + shard.count > BATCH_ITEMS:
            yield batch
            batch, items = [], 0
        batch.append(shard)
        items += shard.count
    if batch:
        yield batch


@dataclass(slots=True)
class ProcessWork:
    """What one process has done for this run."""

    images: int = 0
    busy_s: float = 0.0
    cpu_s: float = 0.0


@dataclass(slots=True)
class Tally:
    """What the collected results add up to, of this owner's time."""

    images: int = 0
    #: Images by the code of their failure.
    failed_by: Counter[str] = field(default_factory=Counter)
    #: Detections down to the floor, as in detections.parquet.
    detections: int = 0
    stages: StageSeconds = field(default_factory=StageSeconds)
    processes: dict[tuple[str, int], ProcessWork] = field(default_factory=dict)
    queue_waits_s: list[float] = field(default_factory=list)
    #: Redis TIME, seconds, of the first claim and of the last commit.
    first_claimed: float | None = None
    last_committed: float | None = None

    @property
    def failed(self) -> int:
        return self.failed_by.total()

    @property
    def span_s(self) -> float:
        """From the first shard's start to the last result."""
        if self.first_claimed is None or self.last_committed is None:
            return 0.0
        return max(0.0, self.last_committed - self.first_claimed)

    def count(self, result: ShardResult, done: ItemSet | None = None) -> None:
        """What an earlier owner's results have too: failures, stages, detections; of failures those `done` with."""
        first = result.shard.first
        records = [
            record
            for row, record in enumerate(result.records)
            if record.ok or done is None or done.covers(first + row, 1)
        ]
        self.failed_by.update(str(record.error_code) for record in records if not record.ok)
        self.stages.add(records)
        self.detections += len(result.detections)

    def add(self, shard: OpenShard, result: ShardResult) -> None:
        self.images += len(result.records)
        self.count(result)
        work = self.processes.setdefault((result.worker, result.process), ProcessWork())
        work.images += len(result.records)
        work.busy_s += result.busy_s
        work.cpu_s += result.cpu_s
        if shard.queue_wait_s is not None:
            self.queue_waits_s.append(shard.queue_wait_s)
        if shard.claimed is not None:
            self.first_claimed = min(shard.claimed, self.first_claimed or shard.claimed)
        if shard.committed is not None:
            self.last_committed = max(shard.committed, self.last_committed or 0.0)


@dataclass(frozen=True, slots=True)
class Collected:
    """A shard whose rows are on disk, or those of its beginning: then the rest was handed back."""

    shard: OpenShard
    result: ShardResult
    rest: ShardId | None


#: Seconds after which no further file is glanced at.
_GLANCES_S = 2.0
#: What a worker says of whatever it has no way to: no disk, no credentials, no network.
_UNSEEN = {ItemCode.NOT_FOUND, ItemCode.NO_PERMISSION, ItemCode.READ_ERROR}


class Collector:
    """Takes results from the store to the journal. The order matters: fsync first, then free."""

    def __init__(
        self, ledger: Ledger, token: int, journal: Journal, tally: Tally, file_of: Callable[[int], bytes]
    ) -> None:
        #: An item's file, as this machine names it.
        self._file_of = file_of
        self._ledger = ledger
        self._token = token
        self._journal = journal
        self._tally = tally
        #: How many labels the detector has.
        self.classes: int | None = None
        #: Told who cannot read what is there; whether such shards come another way now.
        self.ship_instead: Callable[[str], bool] = lambda what: False

    def collect(self, ids: list[ShardId]) -> tuple[list[Collected], list[OpenShard]]:
        """(those that are on disk now, those whose result is of no use and must be made again).

        What was handed back stays open in the ledger, for its rest to be split off.
        Raises ManyeyesError where a worker does not see the dataset, FencedError.
        """
        collected: list[Collected] = []
        payloads: list[bytes] = []
        unreadable: list[OpenShard] = []
        shards = self._ledger.look(ids)
        for shard, payload in zip(shards, self._ledger.results([one.shard for one in shards]), strict=True):
            if payload is None:
                if shard.committed is None:
                    continue
                payload = b""  # noqa: PLW2901 - it is of no use
            try:
                result = self._read(shard.shard, payload)
            except ProtocolError as error:
                about = logs.about(shard=str(shard.shard), attempt=shard.attempt)
                log.warning("shard %s: %s; it is done again", shard.shard, error, extra=about)
                unreadable.append(shard)
                continue
            if self._blind(result):
                unreadable.append(shard)
                continue
            collected.append(Collected(shard, result, shard.shard.rest(result.shard)))
            payloads.append(payload)
        if collected:
            # Whoever slept, and was succeeded meanwhile, must not write any more. Raises FencedError.
            self._ledger.lease(self._token)
        fresh = [c for c in collected if not self._journal.done.covers(c.result.shard.first, c.result.shard.count)]
        self._journal.append([c.result for c in collected], payloads)
        for done in fresh:
            self._tally.add(done.shard, done.result)
        if collected:
            self._ledger.free(self._token, *(done.shard.shard for done in collected if done.rest is None))
        return collected, unreadable

    def _read(self, shard: ShardId, payload: bytes) -> ShardResult:
        """Raises ProtocolError."""
        result = ShardResult.decode(payload)
        shard.rest(result.shard)
        if self.classes is not None and len(found := result.detections) and found["class_id"].max() >= self.classes:
            raise ProtocolError(f"shard {shard}: detections of a class that the detector does not have")
        return result

    def _blind(self, result: ShardResult) -> bool:
        """A machine without the shared disk, or a bucket's credentials, must not write off one image after another.

        True where its shards come another way from now on. Raises ManyeyesError where they don't.
        """
        codes = [record.error_code for record in result.records]
        lack = _lack(codes)
        if lack is None:
            return False
        rows = [row for row, code in enumerate(codes) if code is lack or lack is not ItemCode.FORBIDDEN]
        items = [result.shard.first + row for row in rows]
        file = self._file_of(items[0]) if lack is ItemCode.MISSING_PACKAGE else self._there(items)
        if file is None:
            return False
        code = f"{lack}: it has no --root above it" if lack is ItemCode.FORBIDDEN else lack
        if self.ship_instead(f"worker {result.worker} cannot read {display_path(file)} ({code})"):
            return True
        if ItemCode.READ_ERROR in codes:
            return False  # it may be the object's own fault, of that moment: a row, to be tried again
        # Nor is anything of it collected later, when the disk is there.
        self._ledger.free(self._token, *(shard.shard for shard in self._ledger.open_shards()))
        text = next(record.error for record in result.records if record.error_code is lack)
        raise ManyeyesError(_why(lack, file, result.worker, text or ""))

    def _there(self, items: Sequence[int]) -> bytes | None:
        """A file of these that can be read here: the first may be missing everywhere, and the others not."""
        until = time.monotonic() + _GLANCES_S
        for item in sorted({items[0], items[len(items) // 2], items[-1]}):
            if time.monotonic() < until and glance(file := self._file_of(item)) is not None:
                return file
        return None


def _lack(codes: Sequence[ItemCode | None]) -> ItemCode | None:
    """By which code a worker shows that it lacks what others have; None where images fail for themselves.

    One image that it must not read is enough: whether others are in its shard is chance, and the tables are not.
    """
    if ItemCode.FORBIDDEN in codes:
        return ItemCode.FORBIDDEN
    if None in codes:
        return None
    if ItemCode.MISSING_PACKAGE in codes:
        return ItemCode.MISSING_PACKAGE
    return codes[0] if _UNSEEN.issuperset(codes) else None


def _why(lack: ItemCode, file: bytes, worker: str, text: str) -> str:
    """For the user, of a worker that must not go on like this."""
    shown, or_ship = display_path(file), "or let images go through Redis: `producer resume --transport auto`"
    if lack is ItemCode.MISSING_PACKAGE:
        return f"worker {worker} cannot read {shown}: {text} on that machine, and start its worker again"
    if lack is ItemCode.FORBIDDEN:
        return (
            f"worker {worker} may not read {shown}; start it with `--root`, a folder or URL above it "
            f"(`producer up --root` for a hub's), {or_ship}"
        )
    if is_url(file):
        return (
            f"worker {worker} cannot read {shown} ({lack}), which this machine can; "
            f"give that machine the same network, credentials and endpoint, and start its worker again, {or_ship}"
        )
    return (
        f"worker {worker} does not see {shown}, which is there; mount its disk on that machine, "
        f"readable, under the same name or with `worker start --map THERE=HERE`, {or_ship}"
    )
