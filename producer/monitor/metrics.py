"""A reading in, Prometheus metrics out. docs/metrics.md explains each; names are never changed, only added."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import accumulate

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from common import __version__
from common.errors import ItemCode
from common.protocol.ledger import RunState
from common.protocol.rejections import Reason
from common.stage_histogram import BOUNDS_S
from producer.monitor.reading import Reading
from producer.run.waiting import detector_of
from producer.scheduler.overdue import Why
from producer.scheduler.run_stats import INTERRUPTED, Figures

#: What a run may be, as `producer runs` shows it.
STATES = (*map(str, RunState), INTERRUPTED)
#: Reasons for which messages are refused that have a series of their own; whatever else there is, is counted together.
_MOST_REASONS = 20
_REASON = re.compile(r"[a-z][a-z0-9_]{0,39}")
_OTHER = "other"

Kind = type[GaugeMetricFamily] | type[CounterMetricFamily]
#: From an owner's figures, and the instant of the reading; None: no value.
OfRun = Callable[[Figures, float], float | None]

_OF_RUNS: tuple[tuple[Kind, str, str, OfRun], ...] = (
    (
        GaugeMetricFamily,
        "manyeyes_run_images",
        "Images of the run's dataset; no value while it is still being listed.",
        lambda run, now: run.progress.items,
    ),
    (
        CounterMetricFamily,
        "manyeyes_images_done",
        "Images of the run whose rows are on disk, the failed ones too.",
        lambda run, now: run.progress.stored,
    ),
    (
        GaugeMetricFamily,
        "manyeyes_run_images_per_second",
        "Images a second that the run did over the last 30 s, by its owner; 0 without one.",
        lambda run, now: run.progress.images_per_s if run.state(now) in (RunState.RUNNING, RunState.PAUSED) else 0,
    ),
    (
        GaugeMetricFamily,
        "manyeyes_run_open_shards",
        "Shards of the run that were sent and are not yet collected.",
        lambda run, now: run.progress.open_shards,
    ),
    (
        GaugeMetricFamily,
        "manyeyes_run_oldest_open_shard_seconds",
        "Seconds since the oldest open shard of the run was sent; 0 where none is open.",
        lambda run, now: run.oldest_open_s and run.oldest_open_s + max(0.0, now - run.said),
    ),
    (
        GaugeMetricFamily,
        "manyeyes_run_last_progress_timestamp_seconds",
        "When another image of the run was done, by the broker's clock.",
        lambda run, now: run.last_progress,
    ),
    (
        GaugeMetricFamily,
        "manyeyes_run_last_word_timestamp_seconds",
        "When the run's owner last said how it does, by the broker's clock.",
        lambda run, now: run.said,
    ),
    (
        CounterMetricFamily,
        "manyeyes_shards_sent",
        "Attempts that the run's owner has sent.",
        lambda run, now: run.attempts,
    ),
    (
        CounterMetricFamily,
        "manyeyes_shards_split",
        "Shards that the run's owner has split, around an image that kills its process or in halves.",
        lambda run, now: run.splits,
    ),
)


def of_broker(up: bool) -> Iterator[Metric]:
    """What there is to say whether the broker answers or not."""
    build = InfoMetricFamily("manyeyes_build", "The monitor's version.")
    build.add_metric((), {"version": __version__})
    yield build
    yield _gauge("manyeyes_broker_up", "Whether the broker answered this scrape: without, there is nothing else.", up)


def of_reading(reading: Reading, scaled: Sequence[str] = ()) -> Iterator[Metric]:
    """All else. Of detectors for which something scales it says also that nothing is left, and nobody serves them."""
    yield _gauge("manyeyes_redis_memory_used_bytes", "Memory that the broker uses.", reading.memory_used)
    yield _gauge(
        "manyeyes_redis_memory_max_bytes",
        "Memory that the broker may use: its maxmemory or, without one, all that its machine has.",
        reading.memory_max,
    )
    yield _family(
        CounterMetricFamily,
        "manyeyes_messages_refused",
        "Messages that workers have refused, by the reason.",
        ("reason",),
        {(reason,): count for reason, count in _bounded(_from_zero(Reason, reading.refused)).items()},
    )
    yield from _of_workers(reading)
    yield from _of_queues(reading, scaled)
    yield from _of_runs(reading.runs, reading.now)


def _of_workers(reading: Reading) -> Iterator[Metric]:
    workers, processes, missing = Counter[str](), Counter[str](), Counter[str]()
    for worker in reading.workers:
        workers[worker.host] += 1
        missing[worker.host] += max(0, worker.processes - worker.alive)
    for process in reading.processes:
        processes[process.host] += 1
    for name, text, by_host in (
        ("manyeyes_workers", "Workers whose heartbeat lives.", workers),
        ("manyeyes_processes", "Pool processes whose heartbeat lives.", processes),
        ("manyeyes_processes_missing", "Pool processes that workers should have and have not.", missing),
    ):
        yield _family(GaugeMetricFamily, name, text, ("host",), {(host,): count for host, count in by_host.items()})


def _of_queues(reading: Reading, scaled: Sequence[str]) -> Iterator[Metric]:
    serving = Counter(queue for process in reading.processes for queue in process.queues)
    queues = {queue: (detector_of(queue), queue) for queue in reading.waiting}
    remaining, by_detector = Counter[str](), Counter(reading.awaited)
    for run in reading.runs:
        remaining[run.queue] += (images := run.remaining(reading.now))
        by_detector[run.detector] += images
    for detector in (*scaled, *map(detector_of, queues)):
        by_detector[detector] += 0
    yield _family(
        GaugeMetricFamily,
        "manyeyes_images_remaining",
        "Images that running runs, and submits that wait for a worker, have still to do with a detector.",
        ("detector",),
        {(detector,): images for detector, images in by_detector.items()},
    )
    for name, text, by_queue in (
        ("manyeyes_queue_images_remaining", "Of them, those of running runs, by queue.", remaining),
        ("manyeyes_queue_messages", "Messages that wait in a detector's queue.", reading.waiting),
        ("manyeyes_queue_processes", "Pool processes that serve a detector's queue.", serving),
    ):
        labels = ("detector", "queue")
        yield _family(GaugeMetricFamily, name, text, labels, {queues[queue]: by_queue[queue] for queue in queues})


def _of_runs(runs: Sequence[Figures], now: float) -> Iterator[Metric]:
    info = InfoMetricFamily("manyeyes_run", "What a run is.", labels=("run",))
    for run in runs:
        info.add_metric((run.run,), {"name": run.name, "detector": run.detector, "queue": run.queue, "host": run.host})
    yield info
    yield _family(
        GaugeMetricFamily,
        "manyeyes_run_state",
        "1 for the state that a run is in; interrupted: its owner is gone, and `producer resume` goes on.",
        ("run", "state"),
        {(run.run, state): run.state(now) == state for run in runs for state in STATES},
    )
    for kind, name, text, value in _OF_RUNS:
        values = {(run.run,): value(run, now) for run in runs}
        yield _family(kind, name, text, ("run",), {labels: one for labels, one in values.items() if one is not None})
    yield _family(
        CounterMetricFamily,
        "manyeyes_images_failed",
        "Images of the run that have failed, by code.",
        ("run", "code"),
        {(run.run, code): count for run in runs for code, count in _from_zero(ItemCode, run.failed_by).items()},
    )
    yield _family(
        CounterMetricFamily,
        "manyeyes_shards_sent_again",
        "Attempts that the run's owner has sent because an earlier one came to nothing, or was slow, by the evidence.",
        ("run", "why"),
        {(run.run, why): count for run in runs for why, count in _from_zero(Why, run.sent_again_by).items()},
    )
    yield _stages(runs)


def _stages(runs: Sequence[Figures]) -> Metric:
    family = HistogramMetricFamily(
        "manyeyes_stage_seconds", "Seconds that images of the run took, by stage.", labels=("run", "stage")
    )
    for run in runs:
        for stage, histogram in run.stages.items():
            counts = zip((*map(str, BOUNDS_S), "+Inf"), accumulate(histogram.counts), strict=True)
            family.add_metric((run.run, stage), list(counts), histogram.sum_s)
    return family


def _gauge(name: str, text: str, value: float) -> Metric:
    return _family(GaugeMetricFamily, name, text, (), {(): value})


def _family(kind: Kind, name: str, text: str, labels: Sequence[str], values: Mapping[tuple[str, ...], float]) -> Metric:
    family = kind(name, text, labels=labels)
    for given, value in values.items():
        family.add_metric(given, value)
    return family


def _from_zero(known: type[StrEnum], counted: Mapping[str, int]) -> dict[str, int]:
    """A series that begins with its first failure hides it: Prometheus counts what a series has grown by."""
    return {**dict.fromkeys(map(str, known), 0), **dict(sorted(counted.items()))}


def _bounded(refused: Mapping[str, int]) -> dict[str, int]:
    """The first of them by their names. Whoever may count may count anything: no more series than a person reads."""
    shown: Counter[str] = Counter()
    for reason, count in refused.items():
        own = _REASON.fullmatch(reason) and len(shown) < _MOST_REASONS
        shown[reason if own else _OTHER] += count
    return dict(shown)
