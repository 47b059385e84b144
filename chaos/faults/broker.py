"""The broker: its connections cut, itself restarted with its file, with an older one, with none, or flushed."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

from chaos.stage import Stage
from chaos.wounds import Victims

#: Seconds for which the file that is put back has aged at most, and for which the server is gone.
OLDER_S = 4.0
GONE_S = 1.0


@dataclass(frozen=True, slots=True)
class CutConnections:
    """CLIENT KILL of everybody's connections, those that wait in a blocking command among them."""

    kind: str = "cut connections"

    def strike(self, stage: Stage, dice: random.Random) -> Victims | None:
        victims = everything(stage)
        for sort in ("normal", "pubsub"):
            stage.broker.client.client_kill_filter(_type=sort, skipme=True)
        return victims


@dataclass(frozen=True, slots=True)
class Restart:
    """kill -9, and a start a second later that reads the append-only file."""

    kind: str = "restart broker"

    def strike(self, stage: Stage, dice: random.Random) -> Victims | None:
        victims = everything(stage)
        stage.broker.kill()
        time.sleep(GONE_S)
        stage.broker.start()
        return victims


@dataclass(frozen=True, slots=True)
class RestartOlder:
    """The same with a file from before some results came: it knows shards that are done, and lacks others."""

    kind: str = "restart broker, older file"

    def strike(self, stage: Stage, dice: random.Random) -> Victims | None:
        stage.broker.copy_file()
        done, deadline = stage.tail.done.count, time.monotonic() + OLDER_S
        while stage.tail.done.count == done and time.monotonic() < deadline:
            time.sleep(0.1)
            stage.tick()
        victims = everything(stage)
        stage.broker.kill()
        stage.broker.put_back()
        time.sleep(GONE_S)
        stage.broker.start()
        return victims


@dataclass(frozen=True, slots=True)
class RestartEmpty:
    """The same without any file."""

    kind: str = "restart broker, no file"

    def strike(self, stage: Stage, dice: random.Random) -> Victims | None:
        victims = everything(stage)
        stage.broker.kill()
        stage.broker.forget()
        time.sleep(GONE_S)
        stage.broker.start()
        return victims


@dataclass(frozen=True, slots=True)
class Flush:
    """FLUSHALL: all is gone, and nobody's connection says so."""

    kind: str = "flush broker"

    def strike(self, stage: Stage, dice: random.Random) -> Victims | None:
        victims = everything(stage)
        stage.broker.client.flushall()
        return victims


FAULTS = (CutConnections(), Restart(), RestartOlder(), RestartEmpty(), Flush())


def everything(stage: Stage) -> Victims:
    """All shards in flight. The workers live on, but must be seen to live."""
    whole = frozenset(worker.number for worker in stage.whole_workers())
    return Victims(whole, shards=stage.open())
