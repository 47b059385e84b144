"""A run in, its end out: durable on disk, carried out by the owner, or here where there is none."""

from __future__ import annotations

import time

from common.errors import FencedError, ManyeyesError, UsageError
from common.ledger import RunState
from producer.aggregator import Outputs, assemble
from producer.journal import Journal
from producer.manifest import Manifest
from producer.rundir import RunDir
from producer.timings import RunFacts

#: Seconds for an owner to notice, and to write what was done.
_OWNER_S = 60.0


def cancel(rundir: RunDir) -> str:
    """Returns one line for the user. Raises UsageError for a run that is finished."""
    state = rundir.state()
    if state.finished:
        raise UsageError(f"run {rundir.run} is {state} already")
    rundir.ask_to_cancel()
    deadline = time.monotonic() + _OWNER_S
    while time.monotonic() < deadline:
        if rundir.state().finished:
            return f"{rundir.run}: {rundir.state()}"
        try:
            with rundir.lock():
                return _without_owner(rundir)
        except FencedError:
            time.sleep(0.1)
    raise ManyeyesError(f"run {rundir.run} is asked to stop, but its owner has not yet; `producer status` tells")


def _without_owner(rundir: RunDir) -> str:
    if rundir.state().finished:
        return f"{rundir.run}: {rundir.state()}"
    manifest, journal = Manifest(rundir.manifest), Journal(rundir.journal)
    data = rundir.read()
    outputs = Outputs(tuple(data["outputs"]["formats"]), data["outputs"]["truth"])
    try:
        outcome = assemble(rundir, rundir.spec(), (manifest, journal), RunFacts(), RunState.CANCELLED, outputs)
    finally:
        journal.close()
    return f"{rundir.run}: cancelled; {outcome.ok + outcome.failed} of {outcome.items} images were done"
