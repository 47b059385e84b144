"""A run in, its end out: durable on disk, carried out by the owner, or here where there is none."""

from __future__ import annotations

import time
from collections.abc import Callable

import redis

from common.broker.asking import ANSWER_S, ask
from common.errors import BrokerError, FencedError, ManyeyesError, UsageError
from common.limits import LEASE_LIFE_S
from common.protocol.ledger import Ledger, RunState
from producer.cluster.late import told_if_late
from producer.results.assemble import Outputs, assemble
from producer.results.timings import RunFacts
from producer.run.withdrawal import withdraw
from producer.rundir.journal import Journal
from producer.rundir.manifest import Manifest
from producer.rundir.run_directory import RunDir
from producer.scheduler import run_stats

#: Seconds for an owner to notice, and to write what was done.
_OWNER_S = 60.0


def cancel(rundir: RunDir, broker_url: str | None, say: Callable[[str], None]) -> str:
    """Returns one line for the user. Raises UsageError for a run that is finished, BrokerError: nothing has changed."""
    state = rundir.state()
    if state.finished:
        raise UsageError(f"run {rundir.run} is {state} already")
    # Of an embedded run nothing is left at a broker, its own least of all.
    if not rundir.read()["embedded"] and not rundir.has_owner():
        if broker_url is None:
            raise UsageError(
                f"run {rundir.run} was submitted to a broker: set MANYEYES_BROKER_URL to it, to stop its workers"
            )
        # First of all: a run that cannot be cancelled now must not be found cancelled later.
        ask(broker_url, lambda _: None)
    asked_before = rundir.cancel_asked()
    rundir.ask_to_cancel()
    line = f"run {rundir.run} is asked to stop; waiting up to {_OWNER_S:g} s for its producer, or what is left of one"
    try:
        with told_if_late(say, line):
            return _await_end(rundir, broker_url)
    except BrokerError:
        if not asked_before:
            rundir.forget_cancel()
        raise


def _await_end(rundir: RunDir, broker_url: str | None) -> str:
    deadline = time.monotonic() + _OWNER_S
    while time.monotonic() < deadline:
        if (state := rundir.state()).finished:
            return _ended(rundir, state)
        try:
            with rundir.lock():
                return _without_owner(rundir, broker_url)
        except FencedError:
            time.sleep(0.1)
    raise ManyeyesError(
        f"run {rundir.run} is asked to stop, but its owner has not yet; {rundir.command('status')} tells"
    )


def _ended(rundir: RunDir, state: RunState) -> str:
    """By this command, or in another way just before it: then nothing must say later that it is to be cancelled."""
    if state is RunState.CANCELLED:
        return f"{rundir.run}: cancelled"
    rundir.forget_cancel()
    return f"{rundir.run}: {state} before that"


def _without_owner(rundir: RunDir, broker_url: str | None) -> str:
    if (state := rundir.state()).finished:
        return _ended(rundir, state)
    manifest, journal = Manifest(rundir.manifest), Journal(rundir.journal, rundir.read()["generation"])
    data = rundir.read()
    left = "" if data["embedded"] else _tell_broker(rundir, broker_url)
    outputs = Outputs.of(data)
    try:
        outcome = assemble(rundir, rundir.spec(), (manifest, journal), RunFacts(), RunState.CANCELLED, outputs)
    finally:
        journal.close()
    return f"{rundir.run}: cancelled; {outcome.ok + outcome.failed} of {outcome.items} images were done{left}"


def _tell_broker(rundir: RunDir, broker_url: str | None) -> str:
    """Stop the workers and free what Redis holds of the run; returns what the user must know of that."""
    if broker_url is None:
        return "; its shards stay in the broker, which was not named"
    return ask(broker_url, lambda client: _close(client, rundir), LEASE_LIFE_S + ANSWER_S)


def _close(client: redis.Redis, rundir: RunDir) -> str:
    ledger = Ledger(client, rundir.run)
    ledger.set_state(RunState.CANCELLED)
    # The directory's lock is ours, so a lease that still stands is a dead owner's: it only has to run out.
    deadline = time.monotonic() + LEASE_LIFE_S + 1
    while True:
        try:
            ledger.close(ledger.lease(None, rundir.last_token() + 1), RunState.CANCELLED)
            withdraw(ledger, rundir.spec().queue)
            run_stats.end(client, rundir.run, RunState.CANCELLED, ledger.now())
            return "; its workers are free"
        except FencedError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.2)
