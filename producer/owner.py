"""A reserved run in, all its rows on disk out: the loop that dispatches, collects and reconciles under one lease."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

import redis
from celery import Celery
from kombu import Queue
from kombu.exceptions import OperationalError

from common import presence
from common.detector_info import DetectorInfo
from common.errors import BrokerError, FencedError, ItemCode
from common.ledger import Ledger, OpenShard, RunState
from common.limits import LEASE_LIFE_S, MAX_DEATHS
from common.messages import ItemRecord, ShardId, ShardResult
from common.presence import Beat
from common.spec import Spec
from producer.collect import Collector, Tally
from producer.dispatch import Dispatcher, Target
from producer.journal import Journal
from producer.manifest import Manifest
from producer.progress import Pace, Progress
from producer.reconcile import Overdue, Reconciler
from producer.rundir import RunDir

log = logging.getLogger(__name__)

#: Seconds between looks at heartbeats, the lease and what is overdue; and the longest wait for a result.
TICK_S = 1.0
_WAIT_S = 0.5
#: Seconds for which a broker may be gone before the owner gives up, resumable.
BROKER_PATIENCE_S = 120
#: Seconds after which a committed shard that nobody told us of is collected all the same.
_FORGOTTEN_S = 5.0


@dataclass(frozen=True, slots=True)
class Connection:
    """The broker, as a client and as the Celery app that sends through it."""

    client: redis.Redis
    app: Celery


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be done, and where it lies."""

    rundir: RunDir
    spec: Spec
    manifest: Manifest
    journal: Journal
    #: The dataset's listing, still to be made durable; None where the manifest is complete.
    listing: Iterable[bytes] | None
    #: What the listing passed over, once it has ended.
    counts: Callable[[], dict[str, int]]
    shard_size: int | None
    #: What Redis is told of the run, again should it forget.
    fields: dict[str, str]


class Owner:
    """Holds the lease of one run from construction to `run`'s end."""

    def __init__(
        self,
        connection: Connection,
        work: Work,
        detector: DetectorInfo,
        report: Callable[[Progress], None],
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._connection = connection
        self._work = work
        self._image_s = detector.ms_per_image / 1000
        self._report = report
        self._check = check
        self._ledger = Ledger(connection.client, work.rundir.run)
        self._reconciler = Reconciler()
        self._listing_error: BaseException | None = None
        self._begun = time.monotonic()
        self.first_result_s: float | None = None
        self.processes: list[Beat] = []
        self._parents_cpu: dict[str, tuple[float, float]] = {}
        self.tally = Tally()
        for result in work.journal.results():
            self.tally.count(result)
        self._pace = Pace()
        self._token = self._patient_lease()
        work.rundir.write_token(self._token)
        self._take_over()

    def _take_over(self) -> None:
        """Tell Redis of the run, and see what is open already: of a new run, of another owner, of a lost server."""
        work = self._work
        self._server = self._server_id()
        self._tell_run()
        target = Target(self._connection.app, self._ledger, self._token, work.spec)
        self.collector = Collector(self._ledger, self._token, work.journal, self.tally)
        self.dispatcher = Dispatcher(target, work.manifest, work.journal.done, self._image_s, work.shard_size)
        for shard in self._ledger.open_shards():
            self.dispatcher.adopt(shard.shard)

    def _tell_run(self) -> None:
        self._ledger.restore(self._work.fields)
        self._ledger.set_state(RunState.RUNNING)

    def _patient_lease(self) -> int:
        """The run directory is locked by us, so another holder of the lease is dead or dying: outwait it."""
        deadline = time.monotonic() + LEASE_LIFE_S + TICK_S
        while True:
            try:
                return self._ledger.lease(None, self._work.rundir.last_token() + 1)
            except FencedError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(0.2)

    def _server_id(self) -> str:
        return str(cast("dict[str, object]", self._connection.client.info("server"))["run_id"])

    def run(self) -> RunState:
        """Until every item's row is on disk, or the run is cancelled. Raises FencedError, ManyeyesError.

        KeyboardInterrupt passes through: what is on disk stays, and `resume` goes on from there.
        """
        listing = threading.Thread(target=self._list, name="listing", daemon=True)
        listing.start()
        next_tick, cancelled = 0.0, False
        while not cancelled and not self._finished():
            try:
                if time.monotonic() >= next_tick:
                    next_tick = time.monotonic() + TICK_S
                    cancelled = self._tick()
                self.dispatcher.fill(len(self.processes))
                self._collect(self._ledger.wait_committed(_WAIT_S if self.dispatcher.in_flight else 0.05))
            except FencedError:
                # Only lost, with all else that a flushed broker forgets? Raises again where another owner has it.
                self._ledger.lease(self._token)
            except (redis.RedisError, OperationalError) as error:
                self._outwait(error)
        state = RunState.CANCELLED if cancelled else RunState.DONE
        if not cancelled:
            listing.join()
        self._report(self.progress(state))
        self._ledger.close(self._token, state)
        return state

    def _outwait(self, error: Exception) -> None:
        """Wait for a broker that is gone, loading or full; what it has forgotten by then is opened again."""
        log.warning("the broker does not answer (%s); waiting up to %d s", error, BROKER_PATIENCE_S)
        deadline = time.monotonic() + BROKER_PATIENCE_S
        while True:
            time.sleep(_WAIT_S)
            self._check()
            try:
                self._connection.client.ping()
                return
            except redis.RedisError as again:
                if time.monotonic() >= deadline:
                    raise BrokerError(f"the broker has not answered for {BROKER_PATIENCE_S} s: {again}") from None

    def parents_cpu_s(self) -> float:
        """Seconds of CPU that the workers' parent processes used between their first and last heartbeats here."""
        return sum(last - first for first, last in self._parents_cpu.values())

    def let_go(self) -> None:
        """An interrupted owner lets go at once, so that `resume` need not wait for the lease to run out."""
        self._ledger.release(self._token)

    def _list(self) -> None:
        try:
            if self._work.listing is not None:
                self._work.manifest.append_all(self._work.listing, self._work.counts)
        except BaseException as error:
            self._listing_error = error

    def _finished(self) -> bool:
        if self._listing_error is not None:
            raise self._listing_error
        manifest = self._work.manifest
        return manifest.complete and self._work.journal.done.count >= manifest.items

    def _collect(self, ids: list[ShardId]) -> None:
        if not ids:
            return
        collected, unreadable = self.collector.collect(ids)
        for done in collected:
            self._reconciler.note_claim(done.shard)
            self.dispatcher.collected(done.shard, done.result.busy_s / len(done.result.records))
        for shard in unreadable:
            # Its commit stands in the way: close it, and open it anew.
            self._ledger.free(self._token, shard.shard)
            self.dispatcher.open_again(shard.shard)
        if collected and self.first_result_s is None:
            self.first_result_s = time.monotonic() - self._begun

    def _tick(self) -> bool:
        """Once a second. True when the run was cancelled."""
        self._check()
        if self._server_id() != self._server:
            log.warning("the broker was restarted; what it has lost is sent again")
            self._ledger.lease(self._token)
            self._take_over()
        self._ledger.lease(self._token)
        if not self._ledger.knows_run():
            log.warning("the broker has forgotten the run; it is told again")
            self._tell_run()
        self._see_processes()
        self._reconcile()
        progress = self.progress(RunState.RUNNING)
        self._work.rundir.write_progress(progress.to_json())
        self._report(progress)
        return self._work.rundir.cancel_asked()

    def _see_processes(self) -> None:
        """Live processes that serve this run's detector."""
        queue = self._work.spec.queue
        self.processes = [beat for beat in presence.live_processes(self._connection.client) if queue in beat.queues]
        for beat in self.processes:
            first, _ = self._parents_cpu.get(beat.worker, (beat.parent_cpu_s, 0.0))
            self._parents_cpu[beat.worker] = (first, beat.parent_cpu_s)

    def _reconcile(self) -> None:
        now = self._ledger.now()
        shards = self._ledger.open_shards()
        forgotten = [s.shard for s in shards if s.committed and s.committed < now - _FORGOTTEN_S]
        self._collect(forgotten)
        self._open_lost({shard.shard for shard in shards})
        run = self._work.rundir.run
        live = {beat.process: beat.shard if beat.run == run else None for beat in self.processes}
        overdue = self._reconciler.overdue(shards, live, self._queue_length, now)
        if any(one.died for one in overdue):
            # A process may have come, and claimed, between the two looks.
            self._see_processes()
        alive = {beat.process for beat in self.processes}
        for one in overdue:
            if not (one.died and one.shard.claimed_by in alive):
                self._again(one)

    def _open_lost(self, known: set[ShardId]) -> None:
        """Shards in flight of which Redis knows nothing: it was flushed, or the answer to an opening was lost."""
        for shard in sorted(self.dispatcher.in_flight - known):
            if self._work.journal.done.covers(shard.first, shard.count):
                self.dispatcher.in_flight.discard(shard)
            else:
                log.warning("shard %s is lost in the broker; it is opened again", shard)
                self.dispatcher.open_again(shard)

    def _queue_length(self) -> int:
        """Messages that wait in the detector's queue, asked through kombu's own interface."""
        with self._connection.app.connection_for_read() as connection:
            queue = Queue(self._work.spec.queue, channel=connection.default_channel)
            return int(cast(Any, queue.queue_declare(passive=False)).message_count)

    def _again(self, overdue: Overdue) -> None:
        """Send an overdue shard again; split it, or give its one image up, when it has cost too many processes."""
        shard = overdue.shard
        sent = self._ledger.resend(self._token, shard, overdue.died)
        if sent is None:
            return
        attempt, deaths = sent
        why = f"the process {shard.claimed_by} that had it is gone" if overdue.died else "nobody is at it"
        log.warning("shard %s is sent again (attempt %d): %s", shard.shard, attempt, why)
        if deaths >= MAX_DEATHS and shard.shard.count == 1:
            self._give_up(shard, deaths)
        elif deaths >= MAX_DEATHS - 1 and shard.shard.count > 1:
            self.dispatcher.split(shard.shard)
        else:
            self.dispatcher.send(shard.shard, attempt)

    def _give_up(self, shard: OpenShard, deaths: int) -> None:
        """Alone, this image has killed every process that looked at it."""
        text = f"{deaths} processes died while they looked at this image alone"
        record = ItemRecord(error_code=ItemCode.CRASHED, error=text)
        nothing = ShardResult.no_detections()
        result = ShardResult(shard.shard, shard.attempt, "owner", 0, (record,), nothing)
        self._ledger.commit(shard.shard, result.encode())

    def progress(self, state: RunState) -> Progress:
        """Done is what is on disk, plus what live processes say of the shards at hand."""
        journal, manifest = self._work.journal, self._work.manifest
        done = journal.done.count
        if state is RunState.RUNNING:
            at_hand = sum(beat.shard_done for beat in self.processes if beat.run == self._work.rundir.run)
            done += min(at_hand, sum(shard.count for shard in self.dispatcher.in_flight))
        items = manifest.items if manifest.complete else None
        done = done if items is None else min(done, items)
        pace = self._pace.at(time.monotonic(), done)
        return Progress(
            run=self._work.rundir.run,
            state=state,
            items=items,
            done=done,
            failed=self.tally.failed,
            detections=self.tally.detections,
            images_per_s=round(pace, 2),
            eta_s=None if items is None or pace <= 0 else round((items - done) / pace, 1),
            workers=len({beat.worker for beat in self.processes}),
            processes=len(self.processes),
            open_shards=len(self.dispatcher.in_flight),
            seconds=round(time.monotonic() - self._begun, 2),
            at=time.time(),
        )
