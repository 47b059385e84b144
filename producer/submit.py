"""A dataset and choices in, a finished run out: reserve, pin, own, assemble. `resume` enters half-way."""

from __future__ import annotations

import os
import platform
import resource
import shlex
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, cast

import redis
from kombu.exceptions import OperationalError

from common import __version__
from common.datasets import Dataset, open_dataset
from common.detector_info import DetectorInfo
from common.errors import BrokerError, ExitCode, FencedError, ManyeyesError, UsageError
from common.ledger import Ledger, RunState
from common.limits import DEFAULT_IMAGE_TIMEOUT_S, DEFAULT_MAX_PIXELS, DEFAULT_PRIORITY
from common.spec import Spec
from producer import rundir as rundirs
from producer.aggregator import Outcome, Outputs, assemble
from producer.cluster import Cluster, Launch, open_cluster
from producer.exports import check_truth
from producer.journal import Journal, JournalAsItIs
from producer.manifest import Manifest
from producer.max_failures import MaxFailures
from producer.options import DetectionChoices, build_spec, check_detector_text
from producer.owner import Owner, Work
from producer.progress import Progress
from producer.rundir import RunDir
from producer.timings import ProcessFacts, RunFacts

Report = Callable[[Progress], None]
#: Prints one line for the user, off the standard output.
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Request:
    """All that `producer submit` was asked for."""

    datasets: tuple[str, ...]
    output: Path
    broker_url: str | None
    launch: Launch
    choices: DetectionChoices
    outputs: Outputs
    name: str | None = None
    shard_size: int | None = None
    max_failures: str | None = None
    priority: int = DEFAULT_PRIORITY


@dataclass(frozen=True, slots=True)
class Again:
    """How `resume` is to go on."""

    #: Failed images are looked at once more.
    retry_failed: bool = False
    #: Another limit than before.
    max_failures: str | None = None
    #: Another weight among runs than before.
    priority: int | None = None


@dataclass(frozen=True, slots=True)
class Talk:
    """How a run speaks to its user."""

    report: Report
    say: Say
    #: Told once the run's id and directory are reserved.
    reserved: Callable[[RunDir], None]


class RunInterrupted(Exception):
    """Ctrl-C or TERM: what is on disk stays, `resume` goes on."""

    def __init__(self, rundir: RunDir) -> None:
        super().__init__(rundir.run)
        self.rundir = rundir


def submit(request: Request, talk: Talk) -> Outcome:
    """Raises ManyeyesError, RunInterrupted."""
    begun = time.monotonic()
    check_detector_text(request.launch.detector)
    MaxFailures.parse(request.max_failures)
    if request.outputs.truth is not None:
        check_truth(Path(request.outputs.truth))
    dataset = open_dataset(request.datasets)
    rundir = rundirs.create(request.output, rundirs.new_run_id())
    dataset = dataset.keep_stdin(rundir.path / "stdin.list")
    try:
        with _orderly(rundir), open_cluster(request.broker_url, request.launch, rundir) as cluster:
            _preload()
            detector = cluster.detector()
            if detector.caution and cluster.local is not None:
                talk.say(f"note: {detector.caution}")
            root = dataset.root.decode(errors="surrogateescape")
            spec = build_spec(request.choices, detector, dataset.paths, root)
            facts = _facts(request, detector)
            rundir.write({**facts, "spec": spec.to_json(), "spec_digest": spec.digest})
            if not Ledger(cluster.connection.client, rundir.run).reserve(_fields(rundir, spec)):
                raise ManyeyesError(f"run id {rundir.run} is taken on the broker; submit again")
            talk.reserved(rundir)
            return _own(cluster, rundir, spec, detector, dataset, talk, begun)
    except KeyboardInterrupt:
        _forget_unbegun(rundir)
        raise RunInterrupted(rundir) from None
    except UsageError:
        _forget_unbegun(rundir)
        raise


def _forget_unbegun(rundir: RunDir) -> None:
    """No trace of a mistyped option. After other errors the folder stays, for the logs in it."""
    if not (rundir.path / "run.json").exists():
        shutil.rmtree(rundir.path, ignore_errors=True)


def resume(rundir: RunDir, broker_url: str | None, again: Again, talk: Talk) -> Outcome:
    """Do what is missing, from whatever state. Raises UsageError for a cancelled run, ManyeyesError, RunInterrupted."""
    begun = time.monotonic()
    MaxFailures.parse(again.max_failures)
    data, spec = rundir.read(), rundir.spec()
    state = RunState(data["state"])
    if state is RunState.CANCELLED:
        from producer.verify import verify  # pyarrow: other commands need not wait for it

        if verify(rundir, deep=False).mendable:
            return _outputs_again(rundir, talk)
        raise UsageError(f"run {rundir.run} is cancelled, for good; submit the dataset again")
    if rundir.cancel_asked() and state is not RunState.DONE:
        raise UsageError(f"run {rundir.run} was told to cancel; to bring that to its end:  {rundir.command('cancel')}")
    if state is RunState.DONE and not (again.retry_failed and data["counts"]["failed"]) and _nothing_lost(rundir):
        return _outputs_again(rundir, talk)
    if not data["embedded"] and broker_url is None:
        raise UsageError(f"run {rundir.run} was submitted to a broker: set MANYEYES_BROKER_URL to it")
    launch = Launch(**data["launch"])
    try:
        embedded = data["embedded"]
        with _orderly(rundir), open_cluster(None if embedded else broker_url, launch, rundir) as cluster:
            _preload()
            detector = cluster.detector()
            if detector.digest != spec.detector_digest:
                raise UsageError(
                    f"run {rundir.run} was begun with another {detector.name} "
                    f"({spec.queue}, now {detector.queue}); serve that model again, or submit a new run"
                )
            talk.reserved(rundir)
            _reopen(rundir, again)
            return _own(cluster, rundir, spec, detector, None, talk, begun)
    except KeyboardInterrupt:
        raise RunInterrupted(rundir) from None


def _reopen(rundir: RunDir, again: Again) -> None:
    """What `run.json` said of an end holds no longer; a pause ends with the command to go on."""
    data = rundir.read()
    for name in ("finished", "counts", "seconds", "images_per_s", "digest"):
        data.pop(name, None)
    if again.retry_failed:
        data["generation"] += 1
    if again.max_failures is not None:
        data["max_failures"] = again.max_failures
    if again.priority is not None:
        data["priority"] = again.priority
    rundir.ask_to_pause(False)
    rundir.write({**data, "state": RunState.SUBMITTING})


def _nothing_lost(rundir: RunDir) -> bool:
    """Whether the journal of a run that was done still has a result for every item."""
    manifest = Manifest(rundir.manifest)
    manifest.check()
    return rundir.journal.exists() and JournalAsItIs(rundir.journal).done.count == manifest.items


def _outputs_again(rundir: RunDir, talk: Talk) -> Outcome:
    """Of a run that has ended: write what is missing or damaged of its outputs. No worker is needed."""
    with rundir.lock():
        data, spec = rundir.read(), rundir.spec()
        state = rundir.state()
        manifest, journal = Manifest(rundir.manifest), Journal(rundir.journal, data["generation"])
        try:
            talk.say(f"run {rundir.run} is {state}; its outputs are written again")
            outputs = Outputs(tuple(data["outputs"]["formats"]), data["outputs"]["truth"])
            return assemble(rundir, spec, (manifest, journal), None, state, outputs)
        finally:
            journal.close()


def _own(
    cluster: Cluster,
    rundir: RunDir,
    spec: Spec,
    detector: DetectorInfo,
    dataset: Dataset | None,
    talk: Talk,
    begun: float,
) -> Outcome:
    """Own the run until it is done or cancelled, then assemble its outputs."""
    data = rundir.read()
    manifest, journal = Manifest(rundir.manifest), Journal(rundir.journal, data["generation"])
    if manifest.complete:
        manifest.check()
    elif dataset is None:
        dataset = open_dataset(spec.datasets)
    work = Work(
        rundir=rundir,
        spec=spec,
        manifest=manifest,
        journal=journal,
        listing=None if manifest.complete or dataset is None else _listing(dataset, spec),
        counts=lambda: asdict(dataset.counts) if dataset is not None else {},
        shard_size=data["shard_size"],
        fields=_fields(rundir, spec),
        max_failures=MaxFailures.parse(data["max_failures"]),
        priority=data.get("priority", DEFAULT_PRIORITY),
        options=_options(data["launch"], spec),
        embedded=data["embedded"],
    )
    broker_cpu = _broker_cpu_s(cluster.connection.client)
    startup_s = time.monotonic() - begun
    owner = Owner(cluster.connection, work, detector, talk.report, cluster.check)
    rundir.write({**data, "state": RunState.RUNNING})
    try:
        state = owner.run()
    except KeyboardInterrupt:
        owner.let_go()
        raise
    except FencedError:
        raise
    except ManyeyesError as error:
        raise type(error)(f"{error}; what is done is kept, to go on:  {rundir.command('resume')}") from error
    except OSError as error:
        raise ManyeyesError(
            f"cannot write to {rundir.path} ({error.strerror}); what is done is kept; when that is mended:  "
            f"{rundir.command('resume')}"
        ) from error
    finally:
        journal.close()
    if manifest.complete:
        data["listing"] = manifest.facts()["listing"]
        if unreadable := data["listing"]["unreadable"]:
            talk.say(f"warning: {unreadable} folders could not be read; their images are not in the run")
        rundir.write({**data, "state": RunState.RUNNING})
    facts = RunFacts(
        wall_s=time.monotonic() - begun,
        span_s=owner.tally.span_s,
        images=owner.tally.images,
        startup_s=startup_s,
        first_result_s=None if owner.first_result_s is None else startup_s + owner.first_result_s,
        queue_waits_s=tuple(owner.tally.queue_waits_s),
        processes=tuple(
            ProcessFacts(worker, pid, work.images, work.busy_s, work.cpu_s)
            for (worker, pid), work in sorted(owner.tally.processes.items())
        ),
        producer_cpu_s=_own_cpu_s(),
        broker_cpu_s=_broker_cpu_s(cluster.connection.client, broker_cpu) - broker_cpu,
        worker_parent_cpu_s=owner.crew.parents_cpu_s(),
        sent_again={str(why): times for why, times in owner.sent_again.items()},
    )
    if state is RunState.STOPPED:
        talk.say(
            f"stopped: {owner.tally.failed:,} images failed, more than --max-failures {data['max_failures']}; "
            f"to go on:  {rundir.command('resume')} --max-failures N"
        )
    outputs = Outputs(tuple(data["outputs"]["formats"]), data["outputs"]["truth"])
    return assemble(rundir, spec, (manifest, journal), facts, state, outputs)


def _listing(dataset: Dataset, spec: Spec) -> Iterator[bytes]:
    try:
        yield from (item.path for item in islice(dataset.items(), spec.limit))
    except OSError as error:
        raise ManyeyesError(f"cannot list {error.filename or 'the dataset'} ({error.strerror})") from error


def _options(launch: dict[str, Any], spec: Spec) -> str:
    """Those of `submit` that decide how one image is looked at, where they are not the default."""
    given = {
        "--detector": launch["detector"],
        "--head": launch["head"],
        "--labels": launch["labels"],
        "--imgsz": spec.imgsz and "{}x{}".format(*spec.imgsz),
        "--max-pixels": spec.max_pixels if spec.max_pixels != DEFAULT_MAX_PIXELS else None,
        "--image-timeout": f"{spec.image_timeout:g}" if spec.image_timeout != DEFAULT_IMAGE_TIMEOUT_S else None,
    }
    return " ".join(f"{name} {shlex.quote(str(value))}" for name, value in given.items() if value is not None)


def _facts(request: Request, detector: DetectorInfo) -> dict[str, Any]:
    """What `run.json` says of a run from its beginning."""
    packages = ("celery", "redis", "numpy", "opencv-python-headless", "onnxruntime", "pyarrow")
    return {
        "name": request.name,
        "state": RunState.SUBMITTING,
        "created": time.time(),
        "embedded": request.broker_url is None,
        "launch": request.launch.to_json(),
        "shard_size": request.shard_size,
        "max_failures": request.max_failures,
        "priority": request.priority,
        #: Grows with every --retry-failed.
        "generation": 0,
        "outputs": {"formats": list(request.outputs.formats), "truth": request.outputs.truth},
        "detector": {**detector.to_json(), "digest": detector.digest},
        "engine": f"{detector.engine} {detector.engine_version}".strip(),
        "instruction_set": detector.instruction_set,
        "versions": {
            "manyeyes": __version__,
            "python": platform.python_version(),
            **{package: version(package) for package in packages},
        },
    }


def _fields(rundir: RunDir, spec: Spec) -> dict[str, str]:
    return {
        "spec": spec.to_text(),
        "spec_digest": spec.digest,
        "detector": spec.detector,
        "created": str(rundir.read()["created"]),
        "dir": str(rundir.path.absolute()),
    }


def _preload() -> None:
    """Load what the end needs while the workers load their model: the user waits for neither."""
    threading.Thread(target=_import_all, args=(("pyarrow.parquet", "PIL.ImageDraw"),), daemon=True).start()


def _import_all(names: Sequence[str]) -> None:
    for name in names:
        import_module(name)


@contextmanager
def _orderly(rundir: RunDir) -> Iterator[None]:
    """The only owner, which ends in good order whatever happens."""
    with _terminable(), _broker_lost(rundir), rundir.lock():
        yield


@contextmanager
def _broker_lost(rundir: RunDir) -> Iterator[None]:
    """One line for a broker that goes away, wherever it is missed first. Raises BrokerError."""
    try:
        yield
    except (redis.RedisError, OperationalError) as error:
        what = "refuses" if isinstance(error, redis.ResponseError) else "is lost"
        begun = (rundir.path / "run.json").exists()
        remedy = (
            f"what is done is kept; when that is mended:  {rundir.command('resume')}" if begun else "is it running?"
        )
        raise BrokerError(f"the broker {what}: {error}; {remedy}") from error


@contextmanager
def _terminable() -> Iterator[None]:
    """Ctrl-C, or TERM, ends a run in good order, resumable; the second one at once, and resumable all the same."""

    def interrupt(*_: object) -> None:
        for number in taken:
            signal.signal(number, lambda *_: os._exit(ExitCode.INTERRUPTED))
        raise KeyboardInterrupt

    # Who was told to ignore it, as a shell tells what it starts in the background, goes on ignoring it.
    taken = [one for one in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(one) is not signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in taken}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _own_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _broker_cpu_s(client: redis.Redis, otherwise: float = 0.0) -> float:
    try:
        info = cast("dict[str, float]", client.info("cpu"))
    except redis.RedisError:
        # All results are on disk: no figure is worth failing for.
        return otherwise
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])
