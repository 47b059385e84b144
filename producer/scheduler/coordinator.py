"""A reserved run in, all its rows on disk out: the loop that dispatches, collects and reconciles under one lease."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import cast

import redis
from kombu.exceptions import OperationalError

from common import logs
from common.datasets import whole
from common.errors import FencedError, ManyeyesError
from common.limits import LEASE_LIFE_S, MAX_UNREADABLE
from common.protocol.detector_info import DetectorInfo
from common.protocol.ledger import Ledger, RunState
from common.protocol.messages import ShardId
from producer.relay.carriage import Carriage
from producer.run.run_context import Work
from producer.run.withdrawal import withdraw
from producer.rundir.progress import Pace, Progress
from producer.scheduler.broker_outage import Unrest
from producer.scheduler.collect import Collector, Tally, batches
from producer.scheduler.dispatch import Dispatcher, Sendings, Target
from producer.scheduler.fair_share import Share
from producer.scheduler.listing import Listing
from producer.scheduler.live_processes import Connection, Crew
from producer.scheduler.overdue import Overdue, Reconciler, Why
from producer.scheduler.recovery import Remedy
from producer.scheduler.run_stats import Bulletin
from producer.scheduler.stragglers import Stragglers

log = logging.getLogger(__name__)

#: Seconds between looks at heartbeats, the lease and what is overdue; the longest wait for a result; and where there
#: is more to send, or nothing in flight.
TICK_S = 1.0
_WAIT_S = 0.5
_SHORT_WAIT_S = 0.05
#: Seconds for which overdue shards are mended, one after the other, before the lease is looked after again.
_MEND_S = 2.0
#: Seconds after which a committed shard that nobody told us of is collected all the same.
_FORGOTTEN_S = 5.0
#: Seconds in which an interrupted owner tells the broker.
_FAREWELL_S = 2.0


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
        self._share = Share(connection.client, work.spec.queue, work.rundir.run, work.priority)
        self._reconciler = Reconciler()
        self._stragglers = Stragglers(work.spec.queue, work.rundir.run)
        self.crew = Crew(connection, work.spec.queue, work.rundir.run, work.embedded)
        self._listing = Listing(work.manifest, work.listing, work.counts)
        self._begun = time.monotonic()
        self._unrest = Unrest()
        self._unreadable: Counter[ShardId] = Counter()
        #: How often which evidence made a shard be sent again.
        self.sent_again: Counter[Why] = Counter()
        self._sendings = Sendings()
        self._bulletin = Bulletin(connection.client, work, self._sendings)
        #: When the oldest open shard was sent, as of the last look; None where none is open.
        self._oldest_open: float | None = None
        self._paused = work.rundir.pause_asked()
        self.first_result_s: float | None = None
        self.tally = Tally()
        for result in work.journal.results():
            self.tally.count(result, work.journal.done)
        self._pace = Pace()
        self._token = self._patient_lease()
        work.rundir.write_token(self._token)
        self._carriage = Carriage(self._ledger, os.fsencode(work.spec.root), work.transport, work.way)
        self._take_over()

    def _take_over(self) -> None:
        """Tell Redis of the run, and see what is open already: of a new run, of another owner, of a lost server."""
        work = self._work
        server = self._server_id()
        self._tell_run()
        target = Target(self._connection.app, self._ledger, self._token, work.spec, work.options, self._sendings)
        self.collector = Collector(self._ledger, self._token, work.journal, self.tally, self._file_of)
        self.collector.classes = len(work.spec.labels)
        self.collector.ship_instead = self._carriage.ship_instead
        self.dispatcher = Dispatcher(
            target, work.manifest, work.journal, self._carriage, self._image_s, work.shard_size
        )
        self._remedy = Remedy(target, self.dispatcher, self.crew, self.sent_again)
        for shard in self._ledger.open_shards():
            if shard.shard.generation == work.journal.generation:
                self.dispatcher.adopt(shard.shard)
            else:
                self._ledger.free(self._token, shard.shard)
        self._carriage.unload_but(self.dispatcher.in_flight)
        # Last: if the broker is lost once more before all that is open is known, it is looked at once more.
        self._server = server

    def _file_of(self, item: int) -> bytes:
        [path] = self._work.manifest.read(item, 1)
        return whole(os.fsencode(self._work.spec.root), path)

    def _tell_run(self) -> None:
        self._ledger.restore({**self._work.fields, "cargo": self._carriage.place})
        self._ledger.set_state(self._state)

    @property
    def _state(self) -> RunState:
        return RunState.PAUSED if self._paused else RunState.RUNNING

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
        """Until every item's row is on disk, or the run is cancelled or stopped. Raises FencedError, ManyeyesError.

        KeyboardInterrupt passes through: what is on disk stays, and `resume` goes on from there.
        """
        self._listing.start()
        next_tick, end = 0.0, None
        while end is None and not self._finished():
            try:
                try:
                    if time.monotonic() >= next_tick:
                        next_tick = time.monotonic() + TICK_S
                        end = self._tick()
                    more = not self._paused and self.dispatcher.fill(len(self.crew.processes))
                    wait_s = _WAIT_S if self.dispatcher.in_flight and not more else _SHORT_WAIT_S
                    self._collect(self._ledger.wait_committed(wait_s))
                    # All of it: one that answers, and takes no image's bytes, would be waited for without an end.
                    self._unrest.over()
                except FencedError:
                    # Only lost, with all else that a flushed broker forgets? Raises again where another owner has it.
                    self._ledger.lease(self._token)
            except (redis.RedisError, OperationalError) as error:
                self._unrest.outwait(error)
                self._check()
                # First of all see whether it is the same server that is back.
                next_tick = 0.0
        state = end or (RunState.STOPPED if self._too_many_failed() else RunState.DONE)
        self._listing.end()
        self._oldest_open = None
        self._tell(self.progress(state))
        self._close(state)
        self._carriage.end()
        withdraw(self._ledger, self._work.spec.queue)
        return state

    def _close(self, state: RunState) -> None:
        """All results are on disk; that the broker is away just now must not keep the tables from being written."""
        while True:
            try:
                self._share.leave()
                self._ledger.close(self._token, state)
                return self._unrest.over()
            except (redis.RedisError, OperationalError) as error:
                self._unrest.outwait(error)
                self._check()

    def let_go(self) -> None:
        """An interrupted owner lets go at once, so that `resume` need not wait for the lease to run out.

        Of a broker that does not answer, it takes its leave without a word.
        """
        farewell = threading.Thread(target=self._release, name="farewell", daemon=True)
        farewell.start()
        farewell.join(_FAREWELL_S)

    def _release(self) -> None:
        with contextlib.suppress(redis.RedisError):
            self._ledger.release(self._token)
            self._share.leave()

    def _finished(self) -> bool:
        self._listing.check()
        manifest = self._work.manifest
        return manifest.complete and self._work.journal.done.count >= manifest.items

    def _collect(self, ids: list[ShardId]) -> None:
        for some in batches(ids):
            self._collect_some(some)

    def _collect_some(self, ids: list[ShardId]) -> None:
        collected, unreadable = self.collector.collect(ids)
        for done in collected:
            self._reconciler.note_claim(done.shard)
            self.dispatcher.collected(done.result.shard, done.result.busy_s / len(done.result.records))
        for done in collected:
            if done.rest is not None:
                self._hand_on(done.shard.shard, done.rest)
        for shard in unreadable:
            # Its commit stands in the way: close it, and open it anew.
            self._unreadable[shard.shard] += 1
            if self._unreadable[shard.shard] >= MAX_UNREADABLE:
                raise ManyeyesError(
                    f"shard {shard.shard}: no result of {MAX_UNREADABLE} can be read; are all workers ours?"
                )
            self._ledger.free(self._token, shard.shard)
            # Read anew too: that a file was not there may hold no longer.
            self._carriage.unload(shard.shard.first, shard.shard.count)
            self.dispatcher.open_again(shard.shard)
        if collected and self.first_result_s is None:
            self.first_result_s = time.monotonic() - self._begun

    def _hand_on(self, whole: ShardId, rest: ShardId) -> None:
        """A process was long at a shard, and has handed back the rest."""
        self.sent_again[Why.LONG] += 1
        about = logs.about(shard=str(whole))
        log.info("shard %s takes long: %s is handed back, and sent again", whole, rest, extra=about)
        self.dispatcher.hand_on(whole, rest)

    def _tick(self) -> RunState | None:
        """Once a second. The state to end in, when the run is cancelled or stopped."""
        self._check()
        lost = False
        if self._server_id() != self._server:
            log.warning("the broker was restarted, or a replica promoted; what it has lost is sent again")
            self._ledger.lease(self._token)
            self._take_over()
            lost = True
        self._ledger.lease(self._token)
        self._carriage.keep()
        if not self._ledger.knows_run():
            log.warning("the broker has forgotten the run; it is told again")
            self._tell_run()
            lost = True
        self._unrest.looked(lost)
        self.crew.look()
        if self._work.rundir.pause_asked() != self._paused:
            self._pause(not self._paused)
        self._reconcile()
        self.dispatcher.share = self._share.look(self.dispatcher.hungry and not self._paused)
        progress = self.progress(self._state)
        self._work.rundir.write_progress(progress.to_json())
        self._tell(progress)
        if self._work.rundir.cancel_asked():
            return RunState.CANCELLED
        return RunState.STOPPED if self._too_many_failed() else None

    def _tell(self, progress: Progress) -> None:
        """The user, and whoever watches from elsewhere."""
        self._report(progress)
        self._bulletin.tell(progress, self.tally, self.sent_again, self._oldest_open)

    def _too_many_failed(self) -> bool:
        manifest, limit = self._work.manifest, self._work.max_failures
        items = manifest.items if manifest.complete else None
        return limit is not None and limit.passed(self.tally.failed, items)

    def _pause(self, paused: bool) -> None:
        """Processes give their shards up within a second, uncommitted; going on, all of them are sent again."""
        self._paused = paused
        self._ledger.set_state(self._state)
        self._work.rundir.write({**self._work.rundir.read(), "state": self._state})
        if not paused:
            for shard in self._ledger.open_shards():
                if shard.committed is None and (sent := self._ledger.resend(self._token, shard, "unpaused")):
                    self.dispatcher.send(shard.shard, sent[0])

    def _reconcile(self) -> None:
        now = self._ledger.now()
        shards = self._ledger.open_shards()
        self._oldest_open = min((shard.sent for shard in shards), default=None)
        forgotten = [s.shard for s in shards if s.committed and s.committed < now - _FORGOTTEN_S]
        self._collect(forgotten)
        self._open_lost({shard.shard for shard in shards})
        if self._paused:
            return
        overdue = self._reconciler.overdue(shards, self.crew.at(), self.crew.waiting, now, self._unrest.jumped(now))
        if any(one.why is Why.LOST for one in overdue):
            # A process may have come, and claimed, between the two looks.
            self.crew.look()
        alive, until = self.crew.at(), time.monotonic() + _MEND_S
        for one in overdue:
            if time.monotonic() >= until:
                break  # the rest is overdue at the next look too
            process = str(one.shard.claimed_by)
            if not (one.why is Why.LOST and (process in alive or self.crew.undecided(process))):
                self._remedy.apply(one, blame=not self._unrest.shaken)
        if self._work.manifest.complete and not self.dispatcher.hungry and not overdue:
            # All is sent: whoever is idle now has nothing else to do for this run.
            for shard in self._stragglers.look(shards, self.crew.processes, self.crew.waiting, time.monotonic()):
                self._remedy.apply(Overdue(shard, Why.SLOW))

    def _open_lost(self, known: set[ShardId]) -> None:
        """Shards in flight of which Redis knows nothing: it was flushed, or the answer to an opening was lost."""
        for shard in sorted(self.dispatcher.in_flight.keys() - known):
            if self._work.journal.done.covers(shard.first, shard.count):
                self.dispatcher.gone(shard)
            else:
                about = logs.about(shard=str(shard))
                log.warning("shard %s is lost in the broker; it is opened again", shard, extra=about)
                self.dispatcher.open_again(shard)

    def progress(self, state: RunState) -> Progress:
        """Done is what is on disk, plus what live processes say of the shards at hand."""
        journal, manifest = self._work.journal, self._work.manifest
        done = journal.done.count
        if not state.finished:
            done += min(self.crew.done_at_hand(), sum(shard.count for shard in self.dispatcher.in_flight))
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
            eta_s=None if items is None or pace <= 0 or state is RunState.PAUSED else round((items - done) / pace, 1),
            workers=len({beat.worker for beat in self.crew.processes}),
            processes=len(self.crew.processes),
            stored=journal.done.count,
            sent_again=self.sent_again.total(),
            listed=manifest.items,
            open_shards=len(self.dispatcher.in_flight),
            seconds=round(time.monotonic() - self._begun, 2),
            at=time.time(),
        )
