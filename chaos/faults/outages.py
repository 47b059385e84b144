"""The broker, up and of no use for a while: hung, a replica, loading, with a password that nobody knows yet."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, replace

from chaos.faults.broker import GONE_S, everything
from chaos.stage import Stage
from chaos.wounds import Victims

#: Seconds. A failover, by an operator's report; a hang longer than any socket's timeout; a file of some gigabytes.
DEMOTED_S = 12.0
HUNG_S = 20.0
LOADING_S = 8.0
#: Seconds from the change of a password to its place in the file.
SECRET_S = 5.0


@dataclass(frozen=True, slots=True)
class Demote:
    """REPLICAOF an address where nobody answers, and back; one time in two, what it has is not read either."""

    kind: str = f"demote for {DEMOTED_S:g} s"

    def strike(self, stage: Stage, dice: random.Random) -> Victims | None:
        victims, stale = everything(stage), dice.random() < 0.5
        stage.broker.demote(stale)
        what = "READONLY" if stale else "READONLY and MASTERDOWN"
        return replace(victims, mend_after_s=DEMOTED_S, mend=stage.broker.promote, what=what)


@dataclass(frozen=True, slots=True)
class DemoteToEmpty:
    """The same of an empty server, whose nothing it takes over."""

    kind: str = f"demote for {DEMOTED_S:g} s, data gone"

    def strike(self, stage: Stage, dice: random.Random) -> Victims | None:
        victims = everything(stage)
        stage.broker.demote_to_empty()
        return replace(victims, mend_after_s=DEMOTED_S, mend=stage.broker.promote)


@dataclass(frozen=True, slots=True)
class Hang:
    """STOP, then CONT: whoever connects waits."""

    kind: str = f"hang for {HUNG_S:g} s"

    def strike(self, stage: Stage, dice: random.Random) -> Victims | None:
        victims = everything(stage)
        stage.broker.hang()
        return replace(victims, mend_after_s=HUNG_S, mend=stage.broker.go_on)


@dataclass(frozen=True, slots=True)
class Load:
    """kill -9, and a start whose reading of its file takes some seconds: LOADING to everything."""

    kind: str = "loading"

    def strike(self, stage: Stage, dice: random.Random) -> Victims | None:
        victims = everything(stage)
        stage.broker.fill()
        stage.broker.kill()
        time.sleep(GONE_S)
        stage.broker.start(LOADING_S)
        return victims


@dataclass(frozen=True, slots=True)
class Rotate:
    """Another password and no connection left; the file from which workers and producer read it says so later."""

    kind: str = "rotated password"

    def strike(self, stage: Stage, dice: random.Random) -> Victims | None:
        victims = everything(stage)
        stage.broker.rotate()
        return replace(victims, mend_after_s=SECRET_S, mend=stage.broker.publish)


FAULTS = (Demote(), DemoteToEmpty(), Hang(), Load(), Rotate())
