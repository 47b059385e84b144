"""Heartbeats in; whether workers are there, whole, of one version and one mind, and see the dataset, out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice

import redis

from common import __version__
from common.broker.connect import PREFIX, celery_app
from common.datasets import Dataset, is_url
from common.limits import HEARTBEAT_LIFE_S, PROTOCOL
from common.protocol import file_probe, heartbeats, rejections
from common.protocol.heartbeats import WorkerBeat
from common.protocol.ledger import RunState
from common.protocol.messages import task_queue
from producer.doctor.finding import Finding, failed, note, ok, warning
from producer.relay.transport import ASKED, ask, cargo_place
from producer.scheduler import run_stats
from producer.scheduler.live_processes import Connection
from producer.scheduler.run_stats import Figures

#: Seconds by which machines' clocks may differ: shown instants only, for what matters goes by the broker's.
_OFF_S = 2.0


def findings(client: redis.Redis) -> Iterator[Finding]:
    found = heartbeats.live_workers(client)
    if not found:
        yield warning("workers", "none is there", "on each machine:  worker start --join URL")
    else:
        hosts = {beat.host for beat in found}
        alive, wanted = sum(beat.alive for beat in found), sum(beat.processes for beat in found)
        yield ok("workers", f"{len(found)} on {len(hosts)} machines, {alive} of {wanted} processes")
    yield from _each(found)
    yield from _versions(found)
    yield from _models(client)
    yield from _clocks(client, found)
    yield from _unserved(client, found)
    yield from _refused(client)


def _each(found: Sequence[WorkerBeat]) -> Iterator[Finding]:
    for beat in found:
        if beat.alive < beat.processes:
            words = f"{beat.worker}: {beat.alive} of {beat.processes} processes live, for {beat.short_s:.0f} s"
            # Less, and it may just be starting.
            level = warning if beat.short_s > HEARTBEAT_LIFE_S else note
            yield level("workers", words, "see its log; start it again if it stays so")


def _versions(found: Sequence[WorkerBeat]) -> Iterator[Finding]:
    for beat in found:
        if beat.v != PROTOCOL:
            words = f"{beat.worker} speaks protocol {beat.v}, this manyeyes {PROTOCOL}: it gets nothing from here"
            yield failed("versions", words, f"run manyeyes {__version__} there, or its version here")
        elif beat.version != __version__:
            theirs = f"manyeyes {beat.version}" if beat.version else "an earlier manyeyes"
            words = f"{beat.worker} runs {theirs}, this is {__version__}; they understand each other"
            yield note("versions", words)


def _models(client: redis.Redis) -> Iterator[Finding]:
    by_name = defaultdict(set)
    for queue, info in heartbeats.live_detectors(client, heartbeats.live_processes(client)).items():
        by_name[info.name].add(queue)
    for name, queues in sorted(by_name.items()):
        if len(queues) > 1:
            words = f"{name} is {len(queues)} models: {', '.join(sorted(queues))}"
            yield warning("models", words, "give one of them another name:  --detector NAME=PATH")
        else:
            yield ok("models", f"{name} is {next(iter(queues))} everywhere")


def _clocks(client: redis.Redis, found: Sequence[WorkerBeat]) -> Iterator[Finding]:
    clocks = heartbeats.clocks(client, [beat.worker for beat in found])
    for worker, off in clocks.items():
        if abs(off) > _OFF_S:
            words = f"{worker}'s is {abs(off):.1f} s {'ahead of' if off > 0 else 'behind'} the broker's"
            yield warning("clock", words, "run a time service there: shown instants are off, nothing else is")


def _unserved(client: redis.Redis, found: Sequence[WorkerBeat]) -> Iterator[Finding]:
    """Work that waits for nobody, and messages whose run has no owner any more, or has ended."""
    served = {task_queue(queue, beat.v) for beat in found for queue in beat.queues}
    waiting: Counter[str] = Counter()
    for raw in client.scan_iter(f"{PREFIX}queue.*", count=1000, _type="list"):
        # kombu has a list for each priority.
        name = raw.decode(errors="replace").removeprefix(PREFIX).partition("\x06")[0]
        if name not in served:
            waiting[name] += client.llen(raw)
    seconds, _ = client.time()
    runs = [run for run in run_stats.all_runs(client) if not RunState(run.progress.state).finished] if waiting else []
    for name, messages in sorted(waiting.items()):
        if messages:
            theirs = [run for run in runs if name.split(".", 2)[-1] == run.queue]
            yield _whose(f"{messages} messages wait in {name}, which no worker serves", theirs, seconds)


def _whose(words: str, runs: Sequence[Figures], now: float) -> Finding:
    """`runs`: those of the queue that are not at their end. Only a run that goes on waits for a worker."""
    for run in runs:
        if run.state(now) == RunState.RUNNING:
            remedy = f"on a machine with that model:  worker start --detector {run.detector}"
            return warning(
                "queues", words, f"{remedy}; or give run {run.run} up, on {run.host}:  producer cancel {run.run}"
            )
    for run in runs:
        if run.live(now):
            return note("queues", f"{words}: run {run.run} is paused")
    for run in runs:
        remedy = f"on {run.host}:  producer resume {run.run}, or producer cancel {run.run}"
        return note("queues", f"{words}: run {run.run} has no owner", remedy)
    return note("queues", f"{words}, left by runs that are no more: the next worker of that queue drops them")


def _refused(client: redis.Redis) -> Iterator[Finding]:
    if counted := rejections.counts(client):
        words = ", ".join(f"{times} {why}" for why, times in sorted(counted.items()))
        yield warning("messages", f"workers have refused {words}", "see their logs, and docs/security.md")


def sight_of(client: redis.Redis, url: str, dataset: Dataset | None) -> Iterator[Finding]:
    """Of the workers that are there, where a dataset was named."""
    found = heartbeats.live_workers(client) if dataset is not None else []
    if dataset is not None and found:
        with celery_app(url) as app:
            yield from _sight(Connection(client, app), found, dataset)


def _sight(connection: Connection, found: Sequence[WorkerBeat], dataset: Dataset) -> Iterator[Finding]:
    """Whether each machine sees the images, and has the way by which they could come to it."""
    if is_url(dataset.root):
        yield note("images", "workers read URLs themselves; whether they can is seen when they do")
        return
    items = [item.path for item in islice(dataset.items(), ASKED)]
    here = file_probe.look((dataset.root, item) for item in items)
    answers = ask(connection, [beat.worker for beat in found], dataset.root, items, cargo_place(connection.client))
    for beat in found:
        answer = answers.get(beat.worker)
        if answer is None:
            yield warning("images", f"{beat.worker} gives no answer", "see its log")
        elif answer.seen == here:
            yield ok("images", f"{beat.worker} reads the same files")
        elif answer.cargo:
            words = f"{beat.worker} does not read them: they go through Redis"
            yield note("images", words, "faster:  worker start --root FOLDER there, --map THERE=HERE for another name")
        else:
            words = f"{beat.worker} neither reads them nor reaches the port by which they could come"
            yield failed("images", words, "open that port (docs/transport.md), or  worker start --root FOLDER")
