"""Durable items in, deterministic shards out: a window of them in flight, sized by the speed that is seen."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from celery import Celery

from common.limits import MAX_PIECES, MAX_SHARD_BYTES
from common.protocol.ledger import Ledger
from common.protocol.messages import AHEAD, DETECT_TASK, IN_TURN, ShardId, ShardMessage, pack_items, task_queue
from common.protocol.spec import Spec
from producer.relay.carriage import Carriage
from producer.rundir.journal import Journal
from producer.rundir.manifest import Manifest
from producer.scheduler.window import Window, tail_items

#: Weight of the newest shard in the running mean of seconds an image.
_NEWEST = 0.3
#: Seconds of sending at a time: results and heartbeats are looked at in between.
_FILL_S = 0.5


@dataclass(slots=True)
class Sendings:
    """What one owner has sent."""

    attempts: int = 0
    splits: int = 0


@dataclass(frozen=True, slots=True)
class Target:
    """Where shards go, and under which lease."""

    app: Celery
    ledger: Ledger
    token: int
    spec: Spec
    #: Of `producer submit`, to look at one image of this run in the same way.
    options: str
    sendings: Sendings = field(default_factory=Sendings)


class Dispatcher:
    """Opens shards and sends them. What is in flight is known here; what is done, in the journal."""

    def __init__(
        self,
        target: Target,
        manifest: Manifest,
        journal: Journal,
        carriage: Carriage,
        image_s: float,
        shard_size: int | None,
    ) -> None:
        self._target = target
        self._manifest = manifest
        self._carriage = carriage
        #: Seconds an image in one process: what warm-up measured, then what is seen.
        self._image_s = max(image_s, 1e-4)
        self._shard_size = shard_size
        self._spec_digest = target.spec.digest
        self._done = journal.done
        #: Items that are done or in flight.
        self._sent = journal.done.copy()
        self._generation = journal.generation
        self._cursor = 0
        self._seen = False
        #: That serve the queue, as of the last look.
        self._processes = 1
        #: Seconds of work in each shard that is sent and not collected, as was thought when it was sent.
        self.in_flight: dict[ShardId, float] = {}
        #: Of the window: the rest is other runs'.
        self.share = 1.0
        #: There is more to send than the window takes.
        self.hungry = True

    def adopt(self, shard: ShardId) -> None:
        """This shard was open when the owner came. One that overlaps what is known is from before a split: closed."""
        if self._sent.touches(shard.first, shard.count) or shard.first + shard.count > self._manifest.items:
            self._target.ledger.free(self._target.token, shard)
            return
        self._sent.add(shard.first, shard.count)
        self._note(shard)

    def fill(self, processes: int) -> bool:
        """Send shards until this run's share of the window is full, or nothing durable is left.

        True where the window takes more: thousands of shards in one go would keep the owner from its lease.
        """
        self._processes = processes = max(processes, 1)
        window = Window.of(processes, self._image_s, self._seen, self.share)
        in_flight_s = sum(self.in_flight.values())
        self.hungry = False
        until = time.monotonic() + _FILL_S
        while (shard := self._next(window, processes)) is not None:
            takes = window.takes(shard.count * self._image_s, in_flight_s, len(self.in_flight))
            if not takes or time.monotonic() >= until:
                self.hungry = True
                return takes
            opened = self._open(shard, processes)
            if opened is None:
                self.hungry = True
                return False
            in_flight_s += self.in_flight[opened]
        return False

    def _next(self, window: Window, processes: int) -> ShardId | None:
        """Of the first durable items that are neither done nor in flight."""
        gap = self._sent.next_gap(self._cursor, self._manifest.items)
        if gap is None:
            return None
        self._cursor = start = gap[0]
        return ShardId(self._generation, start, min(self._size(window, processes), gap[1] - start))

    def _size(self, window: Window, processes: int) -> int:
        """Items in the next shard."""
        if self._shard_size is not None:
            return self._shard_size
        size = window.shard_items(self._image_s)
        if self._manifest.complete:
            size = min(size, tail_items(self._manifest.items - self._sent.count, processes, self._image_s))
        return max(1, size)

    def _open(self, shard: ShardId, processes: int) -> ShardId | None:
        """What of it is sent; None where its images' bytes have no room in Redis just now."""
        paths = self._manifest.read(shard.first, shard.count)
        packed = pack_items(paths)
        while len(packed) > MAX_SHARD_BYTES and len(paths) > 1:
            paths = paths[: len(paths) // 2]
            packed = pack_items(paths)
        count = self._carriage.load(shard.first, paths, processes)
        if count == 0:
            return None
        shard = ShardId(shard.generation, shard.first, count)
        # Known before it is open: should the broker be lost in between, it counts as lost, and is opened again.
        self._sent.add(shard.first, shard.count)
        self._note(shard)
        self.open_again(shard)
        return shard

    def _note(self, shard: ShardId) -> None:
        self.in_flight.setdefault(shard, shard.count * self._image_s)

    def open_again(self, shard: ShardId) -> None:
        """Open and send a shard that is in flight for all we know, and not in Redis; of one that is begun, the rest."""
        gap = self._done.next_gap(shard.first, shard.first + shard.count)
        if gap is None or gap[0] > shard.first:
            self.in_flight.pop(shard, None)
            if gap is None:
                return
            shard = ShardId(shard.generation, gap[0], gap[1] - gap[0])
            self._note(shard)
        items = pack_items(self.paths(shard))
        self._target.ledger.open(self._target.token, shard, items)
        self.send(shard, 1)

    def send(self, shard: ShardId, attempt: int, ahead: bool = False) -> None:
        """One message to the detector's queue. Sending twice is harmless: one attempt has one claim.

        A later attempt goes to the front, and with `ahead` the first one too: what is sent again must not wait behind
        all that is new.
        """
        message = ShardMessage(self._target.ledger.run, shard, attempt, self._spec_digest)
        self._target.app.send_task(
            DETECT_TASK,
            kwargs=message.to_kwargs(),
            queue=task_queue(self._target.spec.queue),
            task_id=message.task_id,
            priority=AHEAD if ahead or attempt > 1 else IN_TURN,
            # What Flower shows, and Celery's own commands; workers read the keywords alone.
            argsrepr=self._shown(shard, attempt),
        )
        self._target.sendings.attempts += 1
        self._note(shard)

    def _shown(self, shard: ShardId, attempt: int) -> str:
        """First what the task's id does not say: Flower cuts it after some 45 characters."""
        images = "1 image" if shard.count == 1 else f"{shard.count} images"
        again = f", attempt {attempt}" if attempt > 1 else ""
        return f"{images}, {self._target.spec.detector}, run {self._target.ledger.run}, shard {shard}{again}"

    def split(self, parent: ShardId, parts: Sequence[ShardId], begun: bool = False) -> bool:
        """The parts instead of `parent`, or of the rest of one that is `begun`; False where it is no longer open."""
        packed = {part: pack_items(self.paths(part)) for part in parts}
        if not self._target.ledger.split(self._target.token, parent, packed, begun):
            return False
        self._target.sendings.splits += 1
        self.in_flight.pop(parent, None)
        for part in parts:
            self.send(part, 1, ahead=True)
        return True

    def hand_on(self, whole: ShardId, rest: ShardId) -> None:
        """A process was long at a shard, and what it has done of it is on disk: the rest goes to others.

        It was sized for images that may have been much faster: it goes on in pieces of what is a shard by now.
        """
        size = self._shard_size
        if size is None:
            size = Window.of(self._processes, self._image_s, self._seen, self.share).shard_items(self._image_s)
            size = min(size, tail_items(rest.count, self._processes, self._image_s))
        self.split(whole, rest.pieces(max(size, math.ceil(rest.count / MAX_PIECES))), begun=True)

    def load_again(self, shard: ShardId) -> bool:
        """An open shard's bytes are missing in Redis. False where they have no room just now, or are too many."""
        loaded = self._carriage.load_again(shard.first, self.paths(shard))
        if 0 < loaded < shard.count:
            first, rest = shard.first + loaded, shard.count - loaded
            self.split(shard, (ShardId(shard.generation, shard.first, loaded), ShardId(shard.generation, first, rest)))
        return loaded == shard.count

    def gone(self, shard: ShardId) -> None:
        """Nothing of a shard is needed any more: its rows are on disk."""
        self.in_flight.pop(shard, None)
        self._carriage.unload(shard.first, shard.count)

    def paths(self, shard: ShardId) -> list[bytes]:
        return self._manifest.read(shard.first, shard.count)

    def collected(self, shard: ShardId, image_s: float) -> None:
        """A shard's rows are on disk; its speed decides the next sizes."""
        self.gone(shard)
        if image_s == 0:
            return  # an image that was given up: nobody's speed
        image_s, self._seen = max(image_s, 1e-4), True
        # Slower images count at once: a shard of many of them would be long, and all of it lost with its process.
        self._image_s = max(image_s, self._image_s + _NEWEST * (image_s - self._image_s))
