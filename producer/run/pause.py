"""A run in; paused or going on out: durable on disk, carried out by its owner."""

from __future__ import annotations

import time
from collections.abc import Callable

from common.errors import ManyeyesError, UsageError
from common.protocol.ledger import RunState
from producer.cluster.late import told_if_late
from producer.rundir.run_directory import RunDir

#: Seconds for an owner to notice; it looks once a second, and waits for a broker that is gone.
_OWNER_S = 30.0
_LOOK_S = 0.05


def pause(rundir: RunDir, paused: bool, say: Callable[[str], None]) -> str:
    """Returns one line for the user. Raises UsageError for a run that nobody works on."""
    state = rundir.state()
    if state.finished:
        raise UsageError(f"run {rundir.run} is {state} already")
    if not rundir.has_owner():
        raise UsageError(f"run {rundir.run} has no producer, nothing runs; to go on:  {rundir.command('resume')}")
    rundir.ask_to_pause(paused)
    line = f"run {rundir.run} is told; waiting up to {_OWNER_S:g} s for its producer, which may wait for its broker"
    with told_if_late(say, line):
        return _await(rundir, paused)


def _await(rundir: RunDir, paused: bool) -> str:
    wanted = RunState.PAUSED if paused else RunState.RUNNING
    deadline = time.monotonic() + _OWNER_S
    while rundir.state() is not wanted:
        if rundir.state().finished:
            return f"{rundir.run}: {rundir.state()} before that"
        if time.monotonic() >= deadline:
            raise ManyeyesError(
                f"run {rundir.run}: its producer has not heard it yet; {rundir.command('status')} tells"
            )
        time.sleep(_LOOK_S)
    return f"{rundir.run}: paused; to go on:  {rundir.command('unpause')}" if paused else f"{rundir.run}: running"
