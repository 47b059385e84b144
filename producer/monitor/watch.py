"""A run's id in, its progress and its workers out, look by look: from its directory, or from Redis on any machine."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import redis
from rich.console import Console

from common import typed_json
from common.broker.asking import ANSWER_S, ask
from common.broker.connect import client, impatient
from common.broker.silence import within
from common.errors import ExitCode, UsageError
from common.protocol.ledger import RunState, run_key
from common.redaction import redact
from producer.cli.live_view import Screen
from producer.cli.progress_bar import PlainReporter
from producer.monitor import workers as listing
from producer.monitor.run_list import RunLine
from producer.monitor.snapshot import Look, WorkerSeen
from producer.monitor.workers import WorkerLine
from producer.rundir import run_directory as rundirs
from producer.rundir.progress import Pace, Progress
from producer.rundir.run_directory import RunDir
from producer.scheduler import run_stats as figures_of
from producer.scheduler.run_stats import Figures

#: Seconds between looks: owners and workers speak once a second.
LOOK_S = 1.0
#: Seconds for which a worker that is gone stays in the list.
_GONE_S = 60.0


@dataclass(frozen=True, slots=True)
class _Told:
    """What the broker says; the last two where the run's directory is not on this disk."""

    figures: Figures | None
    workers: list[WorkerLine]
    #: Redis TIME, seconds.
    now: float = 0.0
    folder: str = ""


_NOTHING = _Told(None, [])


@dataclass(slots=True)
class Watched:
    """One run, by its directory where that is on this disk, else by its owner's figures."""

    run: str
    rundir: RunDir | None
    client: redis.Redis | None
    _paces: dict[str, Pace] = field(default_factory=dict)
    #: Each worker, as it was seen last, and when it last spoke, by our monotonic clock.
    _seen: dict[str, tuple[WorkerSeen, float]] = field(default_factory=dict)
    _answered: float = field(default_factory=time.monotonic)
    _last: Look | None = None

    def look(self) -> Look:
        """Of a broker that does not answer, or was flushed, the last word stands: its owner will tell it again.

        Raises RedisError or UsageError where there was none.
        """
        try:
            self._last = self._look(self.client)
            self._answered = time.monotonic()
        except (redis.RedisError, UsageError):
            if self.rundir is not None:
                self._last = self._look(None)
            if self._last is None:
                raise
            self._last = replace(self._last, away_s=round(time.monotonic() - self._answered, 1))
        return self._last

    def _look(self, client: redis.Redis | None) -> Look:
        told = _NOTHING if client is None else within(ANSWER_S, lambda: self._ask(client))
        figures = told.figures
        workers = () if client is None else self._workers_of(told.workers, figures)
        if self.rundir is not None:
            said = self.rundir.progress()
            progress = typed_json.read(Progress, said, spare=True) if said else None
            return Look(RunLine.of(self.rundir), progress, figures, workers)
        if figures is None:
            raise UsageError(f"the broker knows nothing of run {self.run}; its directory is on its owner's disk")
        return Look(RunLine.from_afar(figures, told.now, told.folder), figures.progress, figures, workers)

    def _ask(self, client: redis.Redis) -> _Told:
        figures, workers = figures_of.read(client, self.run), listing.lines(client)
        if self.rundir is not None or figures is None:
            return _Told(figures, workers)
        return _Told(figures, workers, client.time()[0], self._folder(client))

    def _folder(self, client: redis.Redis) -> str:
        """On its owner's disk; whoever may only watch is not told."""
        try:
            return (cast("bytes | None", client.hget(run_key(self.run), "dir")) or b"").decode()
        except redis.ResponseError:
            return ""

    def _workers_of(self, lines: list[WorkerLine], figures: Figures | None) -> tuple[WorkerSeen, ...]:
        """Those that serve the run's detector; those that lack processes first."""
        now = time.monotonic()
        for line in lines:
            speeds = {serving.queue: serving.ms_per_image for serving in line.detectors}
            if figures is not None and figures.queue not in speeds:
                continue
            pace = self._paces.setdefault(line.worker, Pace())
            worker = WorkerSeen(
                host=line.host,
                worker=line.worker,
                processes=line.processes,
                alive=line.alive,
                images_per_s=round(pace.at(now, line.images), 2),
                ms_per_image=None if figures is None else speeds[figures.queue],
                at=tuple(at for at in line.at if at.run == self.run),
                last_seen_s=line.last_seen_s,
            )
            self._seen[line.worker] = worker, now - line.last_seen_s
        self._seen = {name: (worker, seen) for name, (worker, seen) in self._seen.items() if now - seen < _GONE_S}
        here = {line.worker for line in lines}
        found = [
            one if name in here else replace(one, alive=0, at=(), images_per_s=0.0, last_seen_s=round(now - seen, 1))
            for name, (one, seen) in self._seen.items()
        ]
        return tuple(sorted(found, key=lambda one: (one.alive >= one.processes, one.host, one.worker)))


def find(output: Path, name: str, broker_url: str | None) -> Watched:
    """A run by id, unique prefix, `latest` or directory: on this disk, else on the broker. Raises UsageError."""
    try:
        rundir = rundirs.find(output, name)
    except UsageError as error:
        if broker_url is None:
            raise UsageError(f"{error}; for a run of another machine set MANYEYES_BROKER_URL") from None
        nowhere = f"no run {name!r} in {output}, nor on the broker {redact(broker_url)}"
        found = _among(ask(broker_url, figures_of.all_runs), name, nowhere)
        return Watched(found, None, impatient(client(broker_url)))
    # The broker of an embedded run is its owner's alone.
    url = None if rundir.read().get("embedded") else broker_url
    return Watched(rundir.run, rundir, None if url is None else impatient(client(url)))


def _among(runs: list[Figures], name: str, nowhere: str) -> str:
    names = sorted(figures.run for figures in runs)
    found = names[-1:] if name == "latest" else [run for run in names if run.startswith(name)]
    if not found:
        raise UsageError(nowhere)
    if len(found) > 1:
        raise UsageError(f"{len(found)} runs on the broker begin with {name!r}: {found[0]}, {found[1]}...")
    return found[0]


def follow(watched: Watched, console: Console, as_json: bool) -> int:
    """Show a run until it is finished or has no owner; its exit code, as `submit` would give it."""
    look = watched.look()
    try:
        with _shower(console, as_json) as show:
            while not look.over:
                show(look)
                time.sleep(LOOK_S)
                look = watched.look()
            show(look)
    except BrokenPipeError:
        # Whoever read has enough, as `| head -1`; nor may Python say so at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if not as_json:
        print(look.line.sentence())
    if look.line.state != RunState.DONE:
        return ExitCode.STOPPED if look.line.state == RunState.STOPPED else ExitCode.INCOMPLETE
    return ExitCode.SOME_FAILED if look.line.failed else ExitCode.OK


@contextmanager
def _shower(console: Console, as_json: bool) -> Iterator[Callable[[Look], None]]:
    """A screen, plain lines, or JSON on stdout."""
    if as_json:
        yield lambda look: print(json.dumps(look.to_json()), flush=True)
    elif console.is_terminal and not console.is_dumb_terminal:
        with Screen(console) as screen:
            yield screen.show
    else:
        plain = PlainReporter()
        yield lambda look: plain(look.progress) if look.progress and not look.over else None
