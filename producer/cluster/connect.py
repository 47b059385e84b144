"""How to reach workers in, a connection with live ones out: a given broker, or one of our own with local workers."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import redis

from common.broker.connect import SOCKET_TIMEOUT_S, celery_app, client, connect
from common.broker.replies import check_takes_writes
from common.errors import ManyeyesError, ModelError, UsageError
from common.limits import PROTOCOL
from common.protocol import heartbeats
from common.protocol.detector_info import DetectorInfo
from common.redaction import redact
from jobs.detect.models import darknet_files, model_file, onnx_files
from jobs.detect.models.detector_names import DetectorText
from producer.cluster.arrival import Arrival
from producer.cluster.embedded import LocalCluster
from producer.run.waiting import Waiting
from producer.rundir.run_directory import RunDir
from producer.scheduler.live_processes import Connection

T = TypeVar("T")

#: Families whose weights are the bytes of the file that the user names.
BY_FILE = ("onnx", "darknet")
#: Seconds. A big model on a busy machine loads slower than this only if something is wrong.
LOCAL_START_S = 300.0


@dataclass(frozen=True, slots=True)
class Launch:
    """Which detector is wanted, and how local workers are started where no broker is configured."""

    detector: str
    head: str | None = None
    labels: str | None = None
    concurrency: int = 0
    weights: str | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def name(self) -> str:
        return DetectorText.parse(self.detector).name

    def worker_options(self) -> list[str]:
        given = {
            "--detector": self.detector,
            "--head": self.head,
            "--labels": self.labels,
            "--weights": self.weights,
            "--concurrency": str(self.concurrency) if self.concurrency else None,
        }
        return [word for name, value in given.items() if value is not None for word in (name, value)]


@dataclass(frozen=True, slots=True)
class Cluster:
    """A broker that answers, and the workers behind it."""

    connection: Connection
    launch: Launch
    #: None where the broker was given.
    local: LocalCluster | None
    broker_url: str
    #: How a broker that was given is waited for until the run has an owner.
    arrival: Arrival | None = None

    def ask(self, question: Callable[[redis.Redis], T]) -> T:
        """Before the run has an owner. A broker that was given is waited for; it may be asked twice.

        Raises BrokerError when it has been away for too long; redis.RedisError otherwise.
        """
        return question(self.connection.client) if self.arrival is None else self.arrival.ask(question)

    def check(self) -> None:
        """Raises where the local broker or worker has ended; a cluster's workers may come and go."""
        if self.local is not None:
            self.local.check()

    def detector(
        self, wait_s: float, say: Callable[[str], None], rundir: RunDir, images: Iterator[int]
    ) -> DetectorInfo:
        """The live detector of the wanted name, waited for so long. Raises UsageError where nobody serves it.

        Meanwhile Redis is told so; `images` says better and better how many wait.
        """
        waiting = Waiting(rundir.run, self.launch.name, images)
        try:
            return self._detector(wait_s, say, waiting)
        finally:
            waiting.leave(self.connection.client if self.arrival is None else self.arrival.client)

    def _detector(self, wait_s: float, say: Callable[[str], None], waiting: Waiting) -> DetectorInfo:
        told = False
        deadline = time.monotonic() + (LOCAL_START_S if self.local else wait_s)
        while True:
            self.check()
            live = self.ask(lambda client: heartbeats.live_detectors(client, heartbeats.live_processes(client)))
            if self.arrival is not None:
                deadline = max(deadline, self.arrival.workers_back_by)
            found = [info for info in live.values() if self.launch.detector == info.queue]
            found = found or [info for info in live.values() if info.name == self.launch.name]
            if found and self.local is None:
                found = self._of_that_file(found)
            if len(found) > 1:
                queues = ", ".join(info.queue for info in found)
                raise UsageError(
                    f"workers serve different models as {self.launch.name}: {queues}; name one of these as --detector"
                )
            if found:
                return found[0]
            if time.monotonic() >= deadline or (live and self.local is not None):
                self.ask(check_takes_writes)
                if self.arrival is not None and time.monotonic() < self.arrival.workers_back_by:
                    continue  # who could not say that they live do so now
                raise self._nobody(sorted(live))
            if self.local is None and not told:
                left = deadline - time.monotonic()
                say(f"waiting for a worker that serves {self.launch.name!r}, {left:.0f} s at most")
                told = True
            if self.local is None:
                self.ask(waiting.tell)
            time.sleep(0.02)

    def _of_that_file(self, served: list[DetectorInfo]) -> list[DetectorInfo]:
        """Those with the very weights of the file that the user named; all, where it was a name. Raises UsageError."""
        path = DetectorText.parse(self.launch.detector).path
        if path is None:
            return served
        try:
            weights = weights_sha256(path, self.launch.weights)
        except ModelError as error:
            raise UsageError(
                f"{error}; to use what workers serve under that name:  --detector {self.launch.name}"
            ) from None
        if same := [info for info in served if info.weights_sha256 == weights or info.family not in BY_FILE]:
            return same
        raise UsageError(
            f"workers serve another file as {self.launch.name}: {served[0].queue} has SHA-256 "
            f"{served[0].weights_sha256[:12]}, {path} has {weights[:12]}; serve this one, or name that queue"
        )

    def _nobody(self, live: list[str]) -> ManyeyesError:
        """Says what could be used, and which command starts a worker; the URL's password stays out of it."""
        command = " ".join(["worker start", *self.launch.worker_options()])
        served = f"workers serve {', '.join(live)}" if live else "no worker is there"
        others = [beat for beat in self.ask(heartbeats.live_workers) if beat.v != PROTOCOL]
        if others:
            # They take from other queues: nobody's images are lost to them, and none is looked at.
            served += (
                f"; {len(others)} of another version, such as {others[0].worker}: "
                "run the same manyeyes there, or submit with theirs"
            )
        theirs = f"submit with --detector {live[0]}, or " if live else ""
        return UsageError(
            f"no worker serves {self.launch.name!r} on {redact(self.broker_url)} ({served}); "
            f"{theirs}start one with the same MANYEYES_BROKER_URL:  {command}"
        )


def weights_sha256(path: Path, weights: str | None) -> str:
    """As the worker takes it: over every byte that it loads. Raises ModelError."""
    if path.suffix.lower() in (darknet_files.CFG, darknet_files.WEIGHTS):
        return darknet_files.read(path, None if weights is None else Path(weights)).sha256
    if path.suffix.lower() == ".onnx":
        return onnx_files.read(path).sha256
    return hashlib.sha256(model_file.read(path)).hexdigest()


@contextmanager
def open_cluster(
    broker_url: str | None, launch: Launch, rundir: RunDir, wait_s: float, say: Callable[[str], None]
) -> Iterator[Cluster]:
    """The given broker, which is waited for; or an embedded one and workers that are gone when the block ends."""
    if broker_url is not None:
        arrival = Arrival(broker_url, wait_s, say)
        arrival.meet()
        connection = Connection(client(broker_url), celery_app(broker_url))
        yield Cluster(connection, launch, None, broker_url, arrival)
        return
    command = [sys.executable, "-m", "worker.cli", "start", *launch.worker_options()]
    given = {name: os.environ[name] for name in os.environ if name.startswith("MANYEYES_")}
    # Of this user, and nobody else can send them anything: what the producer may read, they may.
    environment = {**given, "MANYEYES_ROOTS": "*"}
    with LocalCluster.start(worker_command=command, environment=environment, log_folder=rundir.logs) as local:
        url = local.broker_url
        # Nobody types another URL: on a busy machine its answer may take a while.
        yield Cluster(Connection(connect(url, SOCKET_TIMEOUT_S), celery_app(url)), launch, local, url)
