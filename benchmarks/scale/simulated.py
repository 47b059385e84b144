"""A shard's message in; a claim, some waiting, and the commit of a real result in which nothing was seen, out."""

from __future__ import annotations

import hashlib
import random
import time
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.scale import nothing
from common.broker.connect import client
from common.limits import MAX_SHARD_ITEMS
from common.protocol import heartbeats
from common.protocol.heartbeats import Beat, Speed
from common.protocol.ledger import Ledger
from common.protocol.messages import DETECTION_DTYPE, DetectionArray, ItemRecord, ItemTiming, ShardMessage, ShardResult

if TYPE_CHECKING:
    from benchmarks.scale.swarm import Plan

#: A shard takes its images' time, more or less.
_JITTER = 0.1


class Process:
    """One pool process: a connection, a heartbeat, at most one shard."""

    def __init__(self, name: str, worker: str, plan: Plan) -> None:
        self._client = client(plan.url)
        self._image_s, self._detections = plan.image_s, plan.detections
        self._info = nothing.info(ms_per_image=plan.image_s * 1000)
        pid = int(name.rpartition("/")[2])
        speeds = (Speed(self._info.queue, plan.image_s * 1000),)
        self._now = Beat(name, worker, worker, pid, (self._info.queue,), started=time.time(), speeds=speeds)
        self._begun = 0.0
        self._has_spec = False

    def beat(self) -> None:
        now = self._now
        if now.run is not None and now.shard is not None:
            done = int((time.monotonic() - self._begun) / self._image_s)
            now = replace(now, shard_done=done, images=now.images + done, last_image=time.time())
        heartbeats.beat(self._client, now, [self._info])

    def claim(self, message: ShardMessage) -> float | None:
        """Seconds that the shard will take; None where it is not needed."""
        ledger = Ledger(self._client, message.run)
        if ledger.claim(message, self._now.process).items is None:
            return None
        if not self._has_spec:
            ledger.spec_text()
            self._has_spec = True
        self._begun = time.monotonic()
        self._now = replace(self._now, run=message.run, shard=str(message.shard), item=message.shard.first)
        return message.shard.count * self._image_s * random.uniform(1 - _JITTER, 1 + _JITTER)

    def commit(self, message: ShardMessage) -> tuple[str, int]:
        """What became of it, and the bytes of the result."""
        items = message.shard.count
        records, detections = _seen(self._detections)
        result = ShardResult(
            shard=message.shard,
            attempt=message.attempt,
            worker=self._now.worker,
            process=self._now.pid,
            records=records[:items],
            detections=detections[: items * self._detections],
            cpu_s=items * self._image_s,
            busy_s=time.monotonic() - self._begun,
        ).encode()
        status = Ledger(self._client, message.run).commit(message.shard, result)
        images = self._now.images + items
        self._now = replace(self._now, run=None, shard=None, item=None, images=images, last_image=time.time())
        return status, len(result)


@cache
def _seen(detections: int) -> tuple[tuple[ItemRecord, ...], DetectionArray]:
    """Records and detections of as many images as a shard can have."""
    some = random.Random(0)
    records = tuple(
        ItemRecord(
            bytes=150_000 + number,
            content_sha256=hashlib.sha256(b"%d" % number).hexdigest(),
            width=640,
            height=480,
            exif_orientation=1,
            timing=ItemTiming(time.time(), *(round(some.random() / 100, 6) for _ in range(5))),
        )
        for number in range(MAX_SHARD_ITEMS)
    )
    found = np.empty(MAX_SHARD_ITEMS * detections, DETECTION_DTYPE)
    found["row"] = np.repeat(np.arange(MAX_SHARD_ITEMS), detections)
    found["class_id"] = np.tile(np.arange(detections) % 2, MAX_SHARD_ITEMS)
    found["score"] = np.tile(np.linspace(0.95, 0.5, detections), MAX_SHARD_ITEMS)
    for low, high in (("x1", "x2"), ("y1", "y2")):
        found[low] = np.random.default_rng(0).uniform(0, 300, len(found))
        found[high] = found[low] + 40.5
    return records, found
