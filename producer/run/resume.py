"""A run that has not come to its end in, from whatever state; what is missing of it, and only that, done."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

from common.errors import UsageError
from common.protocol.ledger import RunState
from producer.cluster.connect import Launch, open_cluster
from producer.relay.transport import Transport
from producer.results.assemble import Outcome, Outputs, assemble
from producer.results.publish import publish
from producer.run.session import RunInterrupted, Session, Talk, orderly, preload, resumable
from producer.rundir.journal import Journal, JournalAsItIs
from producer.rundir.manifest import Manifest
from producer.rundir.run_directory import RunDir
from producer.scheduler.failure_limit import MaxFailures


@dataclass(frozen=True, slots=True)
class Again:
    """How `resume` is to go on."""

    #: Failed images are looked at once more.
    retry_failed: bool = False
    #: Another limit than before.
    max_failures: str | None = None
    #: Another weight among runs than before.
    priority: int | None = None
    #: Images are to reach workers in another way than before, or within another window, megabytes.
    way: str | None = None
    ship_window: int | None = None
    #: Seconds that workers of a given broker have to come.
    wait_s: float = 0.0


def resume(rundir: RunDir, broker_url: str | None, again: Again, talk: Talk) -> Outcome:
    """Do what is missing, from whatever state. Raises UsageError for a cancelled run, ManyeyesError, RunInterrupted."""
    begun = time.monotonic()
    MaxFailures.parse(again.max_failures)
    data, spec = rundir.read(), rundir.spec()
    state = RunState(data["state"])
    Transport.of(data).changed(again.way, again.ship_window).check(os.fsencode(spec.root))
    if state is RunState.CANCELLED:
        from producer.verify.verify import verify  # pyarrow: other commands need not wait for it

        if verify(rundir, deep=False).mendable:
            return _outputs_again(rundir, talk)
        raise UsageError(f"run {rundir.run} is cancelled, for good; submit the dataset again")
    if rundir.cancel_asked() and state is not RunState.DONE:
        raise UsageError(f"run {rundir.run} was told to cancel; to bring that to its end:  {rundir.command('cancel')}")
    if state is RunState.DONE and not (again.retry_failed and data["counts"]["failed"]) and _nothing_lost(rundir):
        return _outputs_again(rundir, talk)
    if not data["embedded"] and broker_url is None:
        raise UsageError(f"run {rundir.run} was submitted to a broker: set MANYEYES_BROKER_URL to it")
    launch = Launch(**data["launch"])
    try:
        embedded = data["embedded"]
        of_broker = (None if embedded else broker_url, launch, rundir, again.wait_s, talk.say)
        with orderly(rundir), open_cluster(*of_broker) as cluster:
            preload()
            detector = cluster.detector(again.wait_s, talk.say, rundir, _missing(rundir, again))
            if detector.digest != spec.detector_digest:
                raise UsageError(
                    f"run {rundir.run} was begun with another {detector.name} "
                    f"({spec.queue}, now {detector.queue}); serve that model again, or submit a new run"
                )
            talk.reserved(rundir)
            _reopen(rundir, again)
            return Session(cluster, rundir, spec, detector, talk, begun).own(None)
    except KeyboardInterrupt:
        raise RunInterrupted(rundir) from None


def _missing(rundir: RunDir, again: Again) -> Iterator[int]:
    """How many images are to be done, as far as they are listed."""
    if again.retry_failed and (counts := rundir.read().get("counts")):
        yield counts["failed"] + counts["pending"]
    else:
        done = JournalAsItIs(rundir.journal).done.count if rundir.journal.exists() else 0
        yield Manifest(rundir.manifest).items - done


def _reopen(rundir: RunDir, again: Again) -> None:
    """What `run.json` said of an end holds no longer; a pause ends with the command to go on."""
    data = rundir.read()
    for name in ("finished", "counts", "seconds", "images_per_s", "digest", "published", "empty"):
        data.pop(name, None)
    if again.retry_failed:
        data["generation"] += 1
    if again.max_failures is not None:
        data["max_failures"] = again.max_failures
    if again.priority is not None:
        data["priority"] = again.priority
    data["transport"] = Transport.of(data).changed(again.way, again.ship_window).to_json()
    rundir.ask_to_pause(False)
    rundir.write({**data, "state": RunState.SUBMITTING})


def _nothing_lost(rundir: RunDir) -> bool:
    """Whether the journal of a run that was done still has a result for every item."""
    manifest = Manifest(rundir.manifest)
    manifest.check()
    return rundir.journal.exists() and JournalAsItIs(rundir.journal).done.count == manifest.items


def _outputs_again(rundir: RunDir, talk: Talk) -> Outcome:
    """Of a run that has ended: write what is missing or damaged of its outputs. No worker is needed."""
    with resumable(rundir), rundir.lock():
        data, spec = rundir.read(), rundir.spec()
        state = rundir.state()
        manifest, journal = Manifest(rundir.manifest), Journal(rundir.journal, data["generation"])
        try:
            talk.say(f"run {rundir.run} is {state}; its outputs are written again")
            outputs = Outputs.of(data)
            return publish(rundir, assemble(rundir, spec, (manifest, journal), None, state, outputs))
        finally:
            journal.close()
