"""What an owner knows of its run in, figures in Redis out, once a second: for whoever watches from another machine."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, cast

import redis

from common.broker import PREFIX
from common.ledger import RunState
from common.limits import FINISHED_LIFE_S, LEASE_LIFE_S
from producer.collect import Tally
from producer.dispatch import Sendings
from producer.progress import Progress
from producer.reconcile import Why
from producer.stages import STAGES, Histogram
from producer.work import Work

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

    def state(self, now: float) -> str:
        """As `producer runs` shows it."""
        finished = RunState(self.progress.state).finished
        return INTERRUPTED if self.silent(now) and not finished else self.progress.state

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Figures:
        """Raises ValueError, KeyError or TypeError for what another version, or somebody else, has written."""
        plain: dict[str, Any] = {name: str(data[name]) for name in ("name", "detector", "queue", "host")}
        plain |= {name: int(data[name]) for name in ("priority", "attempts", "splits")}
        plain |= {name: float(data[name]) for name in ("oldest_open_s", "last_progress", "said")}
        return cls(
            progress=Progress.from_json(data["progress"]),
            **plain,
            failed_by={str(code): int(count) for code, count in data["failed_by"].items()},
            sent_again_by={str(why): int(count) for why, count in data["sent_again_by"].items()},
            stages={stage: Histogram.from_json(data["stages"][stage]) for stage in STAGES},
        )


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
    return _figures(cast("bytes | None", client.get(figures_key(run))))


def all_runs(client: redis.Redis, since: float = 0.0, most: int = 1000) -> list[Figures]:
    """The runs of which something was said `since` then, the last word first, in two round trips."""
    newest = client.zrange(RUNS_KEY, "+inf", cast(int, since), desc=True, byscore=True, offset=0, num=most)
    keys = [figures_key(run.decode(errors="replace")) for run in cast("list[bytes]", newest)]
    texts = cast("list[bytes | None]", client.mget(keys)) if keys else []
    return [figures for text in texts if (figures := _figures(text)) is not None]


def end(client: redis.Redis, run: str, state: RunState, now: float) -> None:
    """Somebody else has brought the run to its end: its owner's last words, and that."""
    if (last := read(client, run)) is not None:
        write(client, replace(last, progress=replace(last.progress, state=state), oldest_open_s=0.0, said=now))


def _figures(text: bytes | None) -> Figures | None:
    # Of another version, or nobody's of ours.
    with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None if text is None else Figures.from_json(json.loads(text))
    return None


class Bulletin:
    """An owner's words about its run."""

    def __init__(self, client: redis.Redis, work: Work, sendings: Sendings) -> None:
        self._client = client
        self._work = work
        self._sendings = sendings
        self._name = str(work.rundir.read().get("name") or "")
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
