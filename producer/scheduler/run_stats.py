"""What an owner knows of its run in, figures in Redis out, once a second: for whoever watches from another machine."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TypeVar, cast

import redis

from common import typed_json
from common.broker.connect import PREFIX
from common.errors import ItemCode, ProtocolError
from common.limits import FINISHED_LIFE_S, LEASE_LIFE_S, MAX_INSTANT, MAX_NAME
from common.logs import printable
from common.protocol.ledger import RunState
from common.stage_histogram import STAGES, WIDTH, Histogram
from producer.run.run_context import Work
from producer.rundir.progress import Progress
from producer.scheduler.collect import Tally
from producer.scheduler.dispatch import Sendings
from producer.scheduler.overdue import Why

V = TypeVar("V")

#: Runs by the instant of their owners' last word, Redis TIME.
RUNS_KEY = f"{PREFIX}runs"
#: Seconds. An owner that has said nothing for so long has lost its lease too.
SILENT_S = LEASE_LIFE_S
#: What a run is where its owner is silent and has not come to an end.
INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Figures:
    """One run in its owner's last words. Instants are Redis TIME, seconds; images count over all owners of the run."""

    progress: Progress
    name: str
    detector: str
    queue: str
    priority: int
    #: Where the owner is.
    host: str
    #: Images by the code of their failure.
    failed_by: Mapping[str, int]
    #: What this owner has sent: attempts, and those made necessary, by the evidence; and the shards that it has split.
    attempts: int
    sent_again_by: Mapping[str, int]
    splits: int
    #: Seconds since the oldest open shard was sent; 0 where none is open.
    oldest_open_s: float
    #: Seconds that images took, by stage.
    stages: Mapping[str, Histogram]
    #: When more images than ever before were done, and when this was said.
    last_progress: float
    said: float

    @property
    def run(self) -> str:
        return self.progress.run

    def silent(self, now: float) -> bool:
        """Whether nobody owns the run any more, at an instant of Redis TIME."""
        return now - self.said > SILENT_S

    def live(self, now: float) -> bool:
        """Whether it has an owner, and is not at its end: running, or paused."""
        return self.state(now) in (RunState.SUBMITTING, RunState.RUNNING, RunState.PAUSED)

    def remaining(self, now: float) -> int:
        """Images that want workers: none of a run that is paused or has no owner; while it is listed, at least 1."""
        if self.state(now) != RunState.RUNNING:
            return 0
        least, items = (1, self.progress.listed) if self.progress.items is None else (0, self.progress.items)
        return max(least, items - self.progress.stored)

    def state(self, now: float) -> str:
        """As `producer runs` shows it."""
        finished = RunState(self.progress.state).finished
        return INTERRUPTED if self.silent(now) and not finished else self.progress.state


def figures_key(run: str) -> str:
    return f"{PREFIX}figures:{run}"


def write(client: redis.Redis, figures: Figures) -> None:
    """In one round trip. Runs of which nothing was said for a week are forgotten."""
    pipe = client.pipeline(transaction=False)
    pipe.set(figures_key(figures.run), json.dumps(asdict(figures)), ex=FINISHED_LIFE_S)
    pipe.zadd(RUNS_KEY, {figures.run: figures.said})
    pipe.zremrangebyscore(RUNS_KEY, "-inf", figures.said - FINISHED_LIFE_S)
    pipe.expire(RUNS_KEY, FINISHED_LIFE_S)
    pipe.execute()


def read(client: redis.Redis, run: str) -> Figures | None:
    """None where nothing is said of the run, or nothing that this version can read."""
    return _figures(run, cast("bytes | None", client.get(figures_key(run))))


def all_runs(client: redis.Redis, since: float = 0.0, most: int = 1000) -> list[Figures]:
    """The runs of which something was said `since` then, the last word first, in two round trips."""
    newest = client.zrange(RUNS_KEY, "+inf", cast(int, since), desc=True, byscore=True, offset=0, num=most)
    runs = [run.decode(errors="replace") for run in cast("list[bytes]", newest)]
    texts = cast("list[bytes | None]", client.mget([figures_key(run) for run in runs])) if runs else []
    return [told for run, text in zip(runs, texts, strict=True) if (told := _figures(run, text)) is not None]


def end(client: redis.Redis, run: str, state: RunState, now: float) -> None:
    """Somebody else has brought the run to its end: its owner's last words, and that."""
    if (last := read(client, run)) is not None:
        write(client, replace(last, progress=replace(last.progress, state=state), oldest_open_s=0.0, said=now))


def _figures(run: str, text: bytes | None) -> Figures | None:
    # Of another version, or nobody's of ours.
    with contextlib.suppress(ValueError, RecursionError, ProtocolError):
        return None if text is None else _sane(typed_json.read(Figures, json.loads(text), spare=True), run)
    return None


def _sane(told: Figures, run: str) -> Figures | None:
    """Of that run, in names that people can be shown and instants that a calendar has; counted by what we know of.

    Raises ValueError for a state that there is not.
    """
    progress = told.progress
    RunState(progress.state)
    names = (run, told.name, told.detector, told.queue, told.host)
    spans = (progress.images_per_s, progress.eta_s or 0.0, progress.seconds, told.oldest_open_s)
    instants = (progress.at, told.last_progress, told.said)
    stages = _known(STAGES, told.stages)
    good = (
        progress.run == run
        and all(len(name) <= MAX_NAME and name.isprintable() for name in names)
        and all(0 <= seconds < MAX_INSTANT for seconds in (*spans, *instants))
        and [len(histogram.counts) for histogram in stages.values()] == [WIDTH] * len(STAGES)
    )
    failed_by, sent_again_by = _known(ItemCode, told.failed_by), _known(Why, told.sent_again_by)
    return replace(told, stages=stages, failed_by=failed_by, sent_again_by=sent_again_by) if good else None


def _known(names: Iterable[str], told: Mapping[str, V]) -> dict[str, V]:
    return {str(name): told[name] for name in names if name in told}


class Bulletin:
    """An owner's words about its run."""

    def __init__(self, client: redis.Redis, work: Work, sendings: Sendings) -> None:
        self._client = client
        self._work = work
        self._sendings = sendings
        # A shell's words may be no text: nobody would take it.
        self._name = printable(str(work.rundir.read().get("name") or ""))[:MAX_NAME]
        self._most = -1
        self._last_progress = 0.0

    def tell(self, progress: Progress, tally: Tally, sent_again: Mapping[Why, int], oldest_open: float | None) -> None:
        """No figure is worth a run: what Redis refuses goes untold.

        `oldest_open` is when the oldest open shard was sent, Redis TIME.
        """
        with contextlib.suppress(redis.RedisError):
            seconds, micros = self._client.time()
            now = seconds + micros / 1e6
            if progress.done > self._most:
                self._most, self._last_progress = progress.done, now
            spec = self._work.spec
            figures = Figures(
                progress=progress,
                name=self._name,
                detector=spec.detector,
                queue=spec.queue,
                priority=self._work.priority,
                host=socket.gethostname(),
                failed_by=dict(tally.failed_by),
                attempts=self._sendings.attempts,
                sent_again_by={str(why): times for why, times in sent_again.items()},
                splits=self._sendings.splits,
                oldest_open_s=0.0 if oldest_open is None else max(0.0, now - oldest_open),
                stages=tally.stages.histograms(),
                last_progress=self._last_progress,
                said=now,
            )
            write(self._client, figures)
