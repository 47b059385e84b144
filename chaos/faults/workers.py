"""Pool processes and whole workers: killed, told to end, frozen for longer than a heartbeat lives."""

from __future__ import annotations

import os
import random
import signal
from contextlib import suppress
from dataclasses import dataclass, replace

from chaos.fleet import Worker
from chaos.sight import queued
from chaos.stage import Stage
from chaos.wounds import Victims
from common.limits import HEARTBEAT_LIFE_S

#: Seconds. Every owner has seen its heartbeat gone by then.
FREEZE_S = HEARTBEAT_LIFE_S + 3


@dataclass(frozen=True, slots=True)
class KillProcess:
    """kill -9 of one pool process; its worker forks another."""

    kind: str = "kill process"

    def strike(self, stage: Stage, dice: random.Random) -> Victims | None:
        if (worker := _one(stage, dice)) is None:
            return None
        victims = _process_of(stage, worker, dice)
        _signal(victims, signal.SIGKILL)
        return victims


@dataclass(frozen=True, slots=True)
class FreezeProcess:
    """STOP of one pool process, as one that waits for a dead disk; then it wakes."""

    kind: str = "freeze process"

    def strike(self, stage: Stage, dice: random.Random) -> Victims | None:
        if (worker := _one(stage, dice)) is None:
            return None
        victims = _process_of(stage, worker, dice)
        _signal(victims, signal.SIGSTOP)
        return replace(victims, mend_after_s=FREEZE_S, mend=lambda: _signal(victims, signal.SIGCONT))


@dataclass(frozen=True, slots=True)
class KillWorker:
    """kill -9 of a whole worker, parent and pool; started again a moment later."""

    kind: str = "kill worker"

    def strike(self, stage: Stage, dice: random.Random) -> Victims | None:
        if (worker := _one(stage, dice)) is None:
            return None
        victims = _whole(stage, worker)
        worker.asked = self.kind
        worker.signal_group(signal.SIGKILL)
        return victims


@dataclass(frozen=True, slots=True)
class EndWorker:
    """TERM: it hands back what it has, and ends; started again a moment later."""

    kind: str = "TERM worker"

    def strike(self, stage: Stage, dice: random.Random) -> Victims | None:
        if (worker := _one(stage, dice)) is None:
            return None
        victims = _whole(stage, worker)
        worker.end(self.kind)
        return victims


@dataclass(frozen=True, slots=True)
class FreezeWorker:
    """STOP of a whole worker, as a virtual machine that is paused; then it wakes and goes on with its old work."""

    kind: str = "freeze worker"

    def strike(self, stage: Stage, dice: random.Random) -> Victims | None:
        if (worker := _one(stage, dice)) is None or worker.process is None:
            return None
        victims, group = _whole(stage, worker), worker.process.pid

        def wake() -> None:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGCONT)

        worker.signal_group(signal.SIGSTOP)
        return replace(victims, mend_after_s=FREEZE_S, mend=wake)


FAULTS = (KillProcess(), FreezeProcess(), KillWorker(), EndWorker(), FreezeWorker())


def _one(stage: Stage, dice: random.Random) -> Worker | None:
    whole = stage.whole_workers()
    return dice.choice(whole) if whole else None


def _process_of(stage: Stage, worker: Worker, dice: random.Random) -> Victims:
    """One of its processes, and the shard that it is at."""
    pid = dice.choice(sorted(process.pid for process in worker.pool()))
    shards = stage.claimed_by([pid])
    return Victims(frozenset({worker.number}), frozenset({pid}), shards, what=f"process {pid} of {worker.number}")


def _whole(stage: Stage, worker: Worker) -> Victims:
    """All its processes, their shards, and those that somebody has fetched and not begun: perhaps this worker."""
    pids = frozenset(process.pid for process in worker.pool())
    waiting = {one.shard for one in queued(stage.broker.client, stage.queue)}
    claimed = {one.shard for one in (stage.sight.open if stage.sight else ()) if one.claimed_by}
    fetched = stage.open() - waiting - claimed
    return Victims(frozenset({worker.number}), pids, stage.claimed_by(pids) | fetched, what=f"worker {worker.number}")


def _signal(victims: Victims, number: signal.Signals) -> None:
    for pid in victims.pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
