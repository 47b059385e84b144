"""A pool process: its detectors, its connection, its heartbeat; a shard's message in, a commit out."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import cv2
import psutil
import redis

from common import logs
from common.broker.replies import passes
from common.datasets import is_url
from common.errors import ProtocolError
from common.limits import BROKER_PATIENCE_S, HEARTBEAT_S
from common.protocol import heartbeats
from common.protocol.detector_info import DetectorInfo
from common.protocol.heartbeats import Beat, Speed
from common.protocol.ledger import Claim, Fate, Ledger
from common.protocol.messages import ShardMessage, ShardResult, unpack_items
from common.protocol.relay import CutOff, NotLoaded
from common.protocol.spec import Spec
from jobs.detect.detectors.base import DetectOptions, Detector
from worker.intake.rejection_counter import Refusals
from worker.pool import pipeline
from worker.pool.handback import HandBack
from worker.pool.outage import Outage
from worker.pool.shared_state import Slot
from worker.reading.item_reader import Shard, Sources
from worker.reading.roots import Roots

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Why a claim was not given, or a result was dropped, for people; else it is the run's state.
_NOT_NEEDED = {
    "closed": "nobody waits for it any more",
    "committed": "another attempt was first",
    "stale": "a later attempt was sent",
    "claimed": "another process has it",
}


class Pulse(threading.Thread):
    """Once a second: heartbeat, progress and current item out, the run's state in."""

    def __init__(self, client: redis.Redis, first: Beat, detectors: Sequence[DetectorInfo]) -> None:
        super().__init__(name="pulse", daemon=True)
        self.now = first
        self._detectors = detectors
        self._client = client
        self._parent = psutil.Process(os.getppid())
        #: State of the current run as of the last beat.
        self.run_state: str | None = None
        self._ended = threading.Event()
        self._outage = Outage(log, "the process's heartbeat")
        self._pause_s = HEARTBEAT_S

    def run(self) -> None:
        while not self._ended.wait(self._pause_s):
            self.beat()

    def beat(self) -> None:
        self._pause_s = HEARTBEAT_S
        try:
            times = self._parent.cpu_times()
            # Sent, not kept: `now` is written by the thread that works.
            now = replace(self.now, parent_cpu_s=round(times.user + times.system, 3))
            state = heartbeats.beat(self._client, now, self._detectors)
            # Only if it is still the shard that was asked about.
            if (now.run, now.shard) == (self.now.run, self.now.shard):
                self.run_state = state
            self._outage.worked()
        except psutil.NoSuchProcess:
            log.warning("the worker's parent process is gone")
        except redis.RedisError as error:
            self._pause_s = max(HEARTBEAT_S, self._outage.failed(error))

    def end(self) -> None:
        self._ended.set()
        try:
            heartbeats.leave(self._client, self.now.process)
        except redis.RedisError:
            log.debug("could not say goodbye")


@dataclass(slots=True)
class _KnownSpec:
    digest: str
    spec: Spec


class PoolProcess:
    """What one pool process keeps between shards. The detectors were loaded once, at its start."""

    def __init__(self, client: redis.Redis, detectors: list[Detector], worker: str, slot: Slot, roots: Roots) -> None:
        self.client = client
        self._sources = Sources(client, roots, slot, self._still_wanted)
        self._slot = slot
        self.worker = worker
        self.pid = os.getpid()
        self.name = f"{worker}/{self.pid}"
        self._by_queue = {detector.info.queue: detector for detector in detectors}
        self._spec: _KnownSpec | None = None
        self._refusals = Refusals()
        speeds = tuple(Speed(detector.info.queue, detector.info.ms_per_image) for detector in detectors)
        self.pulse = Pulse(
            client,
            Beat(
                process=self.name,
                worker=worker,
                host=socket.gethostname(),
                pid=self.pid,
                queues=tuple(self._by_queue),
                started=time.time(),
                speeds=speeds,
            ),
            [detector.info for detector in detectors],
        )
        self.pulse.beat()
        self.pulse.start()

    def work(self, message: ShardMessage) -> str:
        """Claim, look at every item, commit. Returns what became of it, for the log and Flower."""
        logs.here(run=message.run, shard=str(message.shard), attempt=message.attempt)
        ledger = Ledger(self.client, message.run)
        try:
            claim = self._outwait("the claim", lambda: ledger.claim(message, self.name))
            if claim.status in ("spec", "large"):
                raise ProtocolError(f"shard {message.shard} of {message.run} is not what was opened: {claim.status}")
            if claim.items is None:
                return _not_needed(claim.status)
            begun, cpu = time.perf_counter(), time.process_time()
            spec = self._outwait("the run's options", lambda: self._spec_of(ledger, message.spec_digest))
        except redis.ResponseError as error:
            raise ProtocolError(f"shard {message.shard} of {message.run} cannot be read: {error}") from None
        shard = shard_of(message, spec.root, claim)
        self._slot.shard(message.run, str(message.shard), message.attempt, spec.image_timeout)

        def result(looked: pipeline.Looked) -> bytes:
            self._slot.between()
            busy_s, cpu_s = time.perf_counter() - begun, time.process_time() - cpu
            self._note_speed(Speed(spec.queue, round(busy_s * 1000 / len(looked.records), 3)))
            return self._result(message, looked, busy_s, cpu_s).encode()

        hand_back = HandBack(ledger, message, self.name, result)
        try:
            with self._sources.open(shard) as fetch:
                looked = pipeline.look_at(shard.paths, self._job(spec, fetch), self._watch(message, hand_back))
            if hand_back.done:
                return f"committed {len(looked.records)} of {message.shard.count}, the rest is handed back"
            if (status := self._commit(ledger, message, result(looked))) != "ok":
                return _not_needed(status)
            failed = sum(not record.ok for record in looked.records)
            return f"committed, {failed} failed" if failed else "committed"
        except pipeline.Interrupted as why:
            if self._slot.ending:
                ledger.report(message.shard, message.attempt, self.name, Fate.HANDED_BACK)
                return f"handed back: {why}"
            return f"given up: {why}"
        except NotLoaded as why:
            fate = Fate.CUT_OFF if isinstance(why, CutOff) else Fate.NOT_LOADED
            ledger.report(message.shard, message.attempt, self.name, fate)
            return f"given up: {why}"
        except SystemExit:
            # So billiard brings a TERM: no image is to blame. The worker's parent gives the shard back.
            self._slot.told_to_end()
            raise
        finally:
            self._slot.no_shard()
            self.pulse.now = replace(self.pulse.now, run=None, shard=None, item=None, shard_done=0)

    def refuse(self, error: ProtocolError) -> None:
        """Of a message that the gate let through: Redis holds other things than it says."""
        self._refusals.note(error)
        with contextlib.suppress(redis.RedisError):
            self._refusals.tell(self.client)

    def _note_speed(self, new: Speed) -> None:
        now = self.pulse.now
        speeds = tuple(new if speed.queue == new.queue else speed for speed in now.speeds)
        self.pulse.now = replace(now, speeds=speeds)

    def _result(
        self,
        message: ShardMessage,
        looked: pipeline.Looked,
        busy_s: float,
        cpu_s: float,
    ) -> ShardResult:
        return ShardResult(
            shard=message.shard.beginning(len(looked.records)),
            attempt=message.attempt,
            worker=self.worker,
            process=self.pid,
            records=tuple(looked.records),
            detections=looked.detections,
            cpu_s=cpu_s,
            busy_s=busy_s,
        )

    def _commit(self, ledger: Ledger, message: ShardMessage, result: bytes) -> str:
        """Work that is done is not thrown away for a broker that is gone, loading or full for a while."""
        return self._outwait("the commit", lambda: ledger.commit(message.shard, result))

    def _outwait(self, what: str, ask: Callable[[], T]) -> T:
        """Of a broker that will do it later. Raises redis.RedisError where it does not, or the worker ends."""
        deadline, outage = time.monotonic() + BROKER_PATIENCE_S, Outage(log, what)
        while True:
            try:
                answer = ask()
                outage.worked()
                return answer
            except redis.RedisError as error:
                if not passes(error) or time.monotonic() >= deadline or self._slot.ending:
                    raise
                outage.outwait(error, lambda: self._slot.ending)

    def _still_wanted(self) -> None:
        """Raises pipeline.Interrupted."""
        state = self.pulse.run_state
        if state is not None and state not in ("running", "submitting"):
            raise pipeline.Interrupted(f"it is {state}")
        if self._slot.ending:
            raise pipeline.Interrupted("the worker ends")

    def _watch(self, message: ShardMessage, hand_back: HandBack) -> Callable[[pipeline.Looked], bool]:
        self.pulse.run_state = None
        first, run, shard = message.shard.first, message.run, str(message.shard)

        def before(looked: pipeline.Looked) -> bool:
            self._still_wanted()
            row = len(looked.records)
            if row and hand_back.due and hand_back.try_(looked):
                return False
            self._slot.item(first + row)
            now = self.pulse.now
            self.pulse.now = replace(
                now,
                run=run,
                shard=shard,
                item=first + row,
                shard_done=row,
                images=now.images + 1,
                last_image=time.time(),
            )
            return True

        return before

    def _spec_of(self, ledger: Ledger, digest: str) -> Spec:
        if self._spec is None or self._spec.digest != digest:
            spec = Spec.from_text(ledger.spec_text())
            if spec.digest != digest:
                raise ProtocolError(f"run {ledger.run}: its spec in Redis is not the one that its shards name")
            self._spec = _KnownSpec(digest, spec)
        return self._spec.spec

    def _job(self, spec: Spec, fetch: pipeline.Fetch) -> pipeline.Job:
        detector = self._by_queue.get(spec.queue)
        if detector is None:
            raise ProtocolError(f"this worker does not serve {spec.queue}; it serves {', '.join(self._by_queue)}")
        return pipeline.Job(
            detector=detector,
            options=DetectOptions(iou=spec.iou, floor=spec.floor, imgsz=spec.imgsz),
            max_pixels=spec.max_pixels,
            fetch=fetch,
            scale=spec.parsed_scale(),
        )


def _not_needed(status: str) -> str:
    return f"not needed: {_NOT_NEEDED.get(status, f'the run is {status}')}"


def shard_of(message: ShardMessage, root: str, claim: Claim) -> Shard:
    """What was claimed, as long as it stays below the root. Raises ProtocolError."""
    paths = unpack_items(claim.items or b"", message.shard)
    try:
        top = os.fsencode(root)
    except UnicodeError:
        raise ProtocolError(f"run {message.run} has a root that no file system has") from None
    # Of a file nothing else is written by a producer; of a URL the server has the word.
    if not is_url(top) and any(path.startswith(b"/") or b".." in path.split(b"/") for path in paths):
        raise ProtocolError(f"shard {message.shard} of {message.run} holds a path that leads out of its root")
    return Shard(message, top, paths, claim.cargo)


def one_thread() -> None:
    """One process a core: an engine's own threads would only fight over it."""
    cv2.setNumThreads(1)
