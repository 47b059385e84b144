"""A reserved run in, a finished one out: a producer's time as its owner, to the outputs or to Ctrl-C."""

from __future__ import annotations

import os
import resource
import shlex
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from itertools import islice
from typing import Any, cast

import redis
from kombu.exceptions import OperationalError

from common import logs, os_errors
from common.broker import wrong_server
from common.broker.error_text import reason
from common.datasets import Choosing, Dataset, open_dataset
from common.errors import BrokerAway, BrokerError, ExitCode, FencedError, ManyeyesError
from common.limits import DEFAULT_IMAGE_TIMEOUT_S, DEFAULT_MAX_PIXELS, DEFAULT_PRIORITY
from common.protocol.detector_info import DetectorInfo
from common.protocol.ledger import RunState
from common.protocol.spec import Spec
from producer.cluster.connect import Cluster
from producer.relay.transport import ASKED, Transport, Way, choose
from producer.results.assemble import Outcome, Outputs, assemble
from producer.results.publish import publish
from producer.results.timings import ProcessFacts, RunFacts
from producer.run.run_context import Work
from producer.rundir.journal import Journal
from producer.rundir.manifest import Manifest
from producer.rundir.progress import Progress
from producer.rundir.run_directory import RUN_FILE, RunDir
from producer.scheduler.broker_outage import Unrest
from producer.scheduler.coordinator import Owner
from producer.scheduler.emptiness import EmptinessWatch, while_running
from producer.scheduler.failure_limit import MaxFailures

Report = Callable[[Progress], None]
#: Prints one line for the user, off the standard output.
Say = Callable[[str], None]


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


@dataclass(frozen=True, slots=True)
class Session:
    """One producer's time with a run whose id is reserved."""

    cluster: Cluster
    rundir: RunDir
    spec: Spec
    detector: DetectorInfo
    talk: Talk
    #: When the command began, monotonic seconds.
    begun: float

    def own(self, dataset: Dataset | None) -> Outcome:
        """Own the run until it is done, stopped or cancelled, then assemble its outputs.

        Without a dataset, it is opened again if need be. Raises ManyeyesError, KeyboardInterrupt.
        """
        data, client = self.rundir.read(), self.cluster.connection.client
        manifest, journal = Manifest(self.rundir.manifest), Journal(self.rundir.journal, data["generation"])
        if manifest.complete:
            manifest.check()
        elif dataset is None:
            choice = Choosing(self.spec.exclude, kept=self.rundir.kept_lists())
            dataset = open_dataset(self.spec.datasets, choice=choice)
        broker_cpu = self.cluster.ask(_broker_cpu_s)
        startup_s = time.monotonic() - self.begun
        owner = self._take_over(lambda: self._work(data, manifest, journal, dataset))
        self.rundir.write({**data, "state": RunState.RUNNING})
        try:
            state = self._run(owner)
        finally:
            journal.close()
        self._tell(data, manifest, owner, state)
        facts = self._facts(owner, startup_s, _broker_cpu_s(client, broker_cpu) - broker_cpu)
        outputs = Outputs.of(data)
        outcome = assemble(self.rundir, self.spec, (manifest, journal), facts, state, outputs)
        return publish(self.rundir, outcome)

    def _take_over(self, work: Callable[[], Work]) -> Owner:
        """A broker that goes away while workers are asked, or open shards adopted, is waited for as it is later on."""
        unrest = Unrest()
        report = EmptinessWatch(
            self.talk.report,
            self.talk.say,
            lambda images: while_running(images, self.spec.floor, self.detector, self.rundir),
        )
        while True:
            try:
                owner = Owner(self.cluster.connection, work(), self.detector, report, self.cluster.check)
                unrest.over()
                return owner
            except (redis.RedisError, OperationalError) as error:
                unrest.outwait(error)
                self.cluster.check()

    def _work(self, data: dict[str, Any], manifest: Manifest, journal: Journal, dataset: Dataset | None) -> Work:
        listing = None if manifest.complete or dataset is None else _listing(dataset, self.spec)
        transport = Transport.of(data)
        return Work(
            rundir=self.rundir,
            spec=self.spec,
            manifest=manifest,
            journal=journal,
            listing=listing,
            counts=lambda: asdict(dataset.counts) if dataset is not None else {},
            shard_size=data["shard_size"],
            fields=fields_of(self.rundir, self.spec),
            max_failures=MaxFailures.parse(data["max_failures"]),
            priority=data.get("priority", DEFAULT_PRIORITY),
            transport=transport,
            way=self._way(transport, manifest, dataset),
            options=_options(data["launch"], self.spec),
            embedded=data["embedded"],
        )

    def _way(self, transport: Transport, manifest: Manifest, dataset: Dataset | None) -> Way:
        """How images reach the workers that are there. Local ones see what we see."""
        if self.cluster.local is not None and transport.way is Way.AUTO:
            transport = replace(transport, way=Way.PATH)

        def first() -> list[bytes]:
            if manifest.items or dataset is None:
                return manifest.read(0, min(ASKED, manifest.items))
            return [item.path for item in islice(dataset.items(), ASKED)]

        root = os.fsencode(self.spec.root)
        chosen = choose(transport, self.cluster.connection, self.spec.queue, root, first)
        if chosen.why:
            self.talk.say(f"note: {chosen.why}")
        return chosen.way

    def _run(self, owner: Owner) -> RunState:
        """Every error says that nothing is lost, and how to go on."""
        try:
            return owner.run()
        except KeyboardInterrupt:
            owner.let_go()
            raise
        except FencedError:
            raise
        except ManyeyesError as error:
            again = f"what is done is kept, to go on:  {self.rundir.command('resume')}"
            raise type(error)(f"{error}; {again}") from error
        except OSError:
            owner.let_go()
            raise

    def _tell(self, data: dict[str, Any], manifest: Manifest, owner: Owner, state: RunState) -> None:
        """What the listing passed over, and why the run has stopped, if it has."""
        if manifest.complete:
            data["listing"] = manifest.facts()["listing"]
            if unreadable := data["listing"]["unreadable"]:
                self.talk.say(f"warning: {unreadable} folders could not be read; their images are not in the run")
            for pattern in data["listing"].get("unmatched", ()) if self.spec.limit is None else ():
                self.talk.say(
                    f"note: --exclude {pattern!r} has matched nothing: a pattern without / matches names, one with / "
                    f"matches paths below {logs.printable(self.spec.root)}"
                )
            self.rundir.write({**data, "state": RunState.RUNNING})
        if state is RunState.STOPPED:
            self.talk.say(
                f"stopped: {owner.tally.failed:,} images failed, more than --max-failures {data['max_failures']}; "
                f"to go on:  {self.rundir.command('resume')} --max-failures N"
            )

    def _facts(self, owner: Owner, startup_s: float, broker_cpu_s: float) -> RunFacts:
        return RunFacts(
            wall_s=time.monotonic() - self.begun,
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
            broker_cpu_s=broker_cpu_s,
            worker_parent_cpu_s=owner.crew.parents_cpu_s(),
            sent_again={str(why): times for why, times in owner.sent_again.items()},
        )


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
        "--weights": launch.get("weights"),
        "--imgsz": spec.imgsz and "{}x{}".format(*spec.imgsz),
        "--max-pixels": spec.max_pixels if spec.max_pixels != DEFAULT_MAX_PIXELS else None,
        "--scale": spec.scale,
        "--image-timeout": f"{spec.image_timeout:g}" if spec.image_timeout != DEFAULT_IMAGE_TIMEOUT_S else None,
    }
    return " ".join(f"{name} {shlex.quote(str(value))}" for name, value in given.items() if value is not None)


def fields_of(rundir: RunDir, spec: Spec) -> dict[str, str]:
    return {
        "spec": spec.to_text(),
        "spec_digest": spec.digest,
        "detector": spec.detector,
        "created": str(rundir.read()["created"]),
        "dir": str(rundir.path.absolute()),
    }


def preload() -> None:
    """Load what the end needs while the workers load their model: the user waits for neither."""
    threading.Thread(target=_import_all, args=(("pyarrow.parquet", "PIL.ImageDraw"),), daemon=True).start()


def _import_all(names: Sequence[str]) -> None:
    for name in names:
        import_module(name)


@contextmanager
def orderly(rundir: RunDir) -> Iterator[None]:
    """The only owner, which ends in good order whatever happens."""
    with _terminable(), resumable(rundir), _broker_lost(rundir), rundir.lock():
        yield


@contextmanager
def resumable(rundir: RunDir) -> Iterator[None]:
    """One line for a disk that is full, or another thing that the system refuses, and how to go on then."""
    try:
        yield
    except OSError as error:
        # Before that, there is nothing to go on with.
        begun = (rundir.path / RUN_FILE).exists()
        again = f"; what is done is kept; when that is mended:  {rundir.command('resume')}" if begun else ""
        raise ManyeyesError(f"{os_errors.explain(error)}{again}") from error


@contextmanager
def _broker_lost(rundir: RunDir) -> Iterator[None]:
    """One line for a broker that goes away, wherever it is missed first. Raises BrokerError."""
    try:
        yield
    except BrokerAway as error:
        if not (rundir.path / RUN_FILE).exists():
            raise
        raise BrokerError(f"{error}; to go on:  {rundir.command('resume')}") from error
    except (redis.RedisError, OperationalError) as error:
        what = "refuses" if isinstance(error.__cause__ or error, redis.ResponseError) else "is lost"
        if (rundir.path / RUN_FILE).exists():
            remedy = f"; what is done is kept; when that is mended:  {rundir.command('resume')}"
        else:
            remedy = "; is it running?" if what == "is lost" else ""
        raise BrokerError(f"the broker {wrong_server.sentence(error) or f'{what}: {reason(error)}'}{remedy}") from error


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
