"""A dataset and choices in, a finished run out: reserve an id, pin the detector, own the run."""

from __future__ import annotations

import platform
import shutil
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import redis

from common import __version__
from common.datasets import Choosing, open_dataset
from common.datasets.path_list.listed import Listed
from common.errors import BrokerError, ManyeyesError, UsageError
from common.images.scale import Scale
from common.limits import DEFAULT_PRIORITY
from common.protocol.detector_info import DetectorInfo
from common.protocol.ledger import Ledger, RunState
from common.protocol.spec import Spec
from jobs.detect.exports import check_truth
from jobs.detect.exports.stems import check_formats
from producer.cluster.connect import Launch, open_cluster
from producer.relay.transport import Transport, Way
from producer.results.assemble import Outcome, Outputs
from producer.results.publish import check_target
from producer.run.plan import DetectionChoices, build_spec, size_note
from producer.run.session import RunInterrupted, Session, Talk, fields_of, orderly, preload, resumable
from producer.rundir import run_directory as rundirs
from producer.rundir.run_directory import RunDir
from producer.scheduler.failure_limit import MaxFailures


@dataclass(frozen=True, slots=True)
class Request:
    """All that `producer submit` was asked for."""

    datasets: tuple[str, ...]
    output: Path
    broker_url: str | None
    launch: Launch
    choices: DetectionChoices
    outputs: Outputs
    #: A URL or folder for the outputs.
    publish: str | None = None
    name: str | None = None
    shard_size: int | None = None
    max_failures: str | None = None
    priority: int = DEFAULT_PRIORITY
    transport: Transport = field(default_factory=Transport)
    #: Signatures in URLs may be written into the run.
    signed_urls: bool = False
    #: Seconds that workers of a given broker have to come.
    wait_s: float = 0.0


def submit(request: Request, talk: Talk) -> Outcome:
    """Raises ManyeyesError, RunInterrupted."""
    begun = time.monotonic()
    MaxFailures.parse(request.max_failures)
    if request.choices.scale is not None:
        Scale.parse(request.choices.scale)
    if request.outputs.truth is not None:
        check_truth(Path(request.outputs.truth))
    # A list may name what only workers see, if its user says that they read it.
    unseen = request.broker_url is not None and request.transport.way is Way.PATH
    dataset = open_dataset(request.datasets, choice=Choosing(request.choices.exclude, unseen))
    check_formats(request.outputs.formats, dataset, request.choices.limit)
    if not request.signed_urls and (signed := dataset.signed()) is not None:
        raise UsageError(
            f"{signed} has a signature, key or token in it, which run.json and the tables would show: give workers "
            "credentials instead (docs/datasets.md), or allow it with --signed-urls"
        )
    request.transport.check(dataset.root)
    run = rundirs.new_run_id()
    publish = None if request.publish is None else check_target(request.publish, request.output / run)
    rundir = rundirs.create(request.output, run)
    try:
        lists = _keep_lists(rundir, dataset.listed)
        for note in dataset.listed.notes:
            talk.say(f"note: {note}")
        of_broker = (request.broker_url, request.launch, rundir, request.wait_s, talk.say)
        with orderly(rundir), open_cluster(*of_broker) as cluster:
            preload()
            listed = (number for number, _ in enumerate(islice(dataset.items(), request.choices.limit), 1))
            detector = cluster.detector(request.wait_s, talk.say, rundir, listed)
            if detector.caution and cluster.local is not None:
                talk.say(f"note: {detector.caution}")
            root = dataset.root.decode(errors="surrogateescape")
            spec = build_spec(request.choices, detector, dataset.paths, root)
            if note := size_note(request.choices.imgsz, spec, detector):
                talk.say(f"note: {note}")
            facts = _facts(request, detector) | {"publish": publish, "lists": lists, "notes": dataset.listed.notes}
            rundir.write({**facts, "spec": spec.to_json(), "spec_digest": spec.digest})
            cluster.ask(lambda client: _reserve(client, rundir, spec))
            talk.reserved(rundir)
            return Session(cluster, rundir, spec, detector, talk, begun).own(dataset)
    except KeyboardInterrupt:
        _forget_unbegun(rundir)
        raise RunInterrupted(rundir) from None
    except (UsageError, BrokerError) as error:
        # An embedded broker, or worker, has left a log there.
        if isinstance(error, UsageError) or request.broker_url is not None:
            _forget_unbegun(rundir)
        raise


def _keep_lists(rundir: RunDir, listed: Listed) -> dict[str, int] | None:
    """As `RunDir.keep_lists`. Raises ManyeyesError where the disk does not take it; nothing is left of the run then."""
    try:
        with resumable(rundir):
            return rundir.keep_lists(listed)
    except ManyeyesError:
        _forget_unbegun(rundir)
        raise


def _reserve(client: redis.Redis, rundir: RunDir, spec: Spec) -> None:
    """The run's id on the broker. Raises ManyeyesError, RedisError; where the login may not, nothing is left of it."""
    try:
        if not Ledger(client, rundir.run).reserve(fields_of(rundir, spec)):
            raise ManyeyesError(f"run id {rundir.run} is taken on the broker; submit again")
    except redis.exceptions.NoPermissionError:
        shutil.rmtree(rundir.path, ignore_errors=True)
        raise


def _forget_unbegun(rundir: RunDir) -> None:
    """No trace of a mistyped option or an unmet broker. After other errors the folder stays, for its logs."""
    if not (rundir.path / "run.json").exists():
        shutil.rmtree(rundir.path, ignore_errors=True)


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
        "transport": request.transport.to_json(),
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
