"""A run as its owner gets it: what is to be done, where it lies, and what the user said of how."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from common.protocol.spec import Spec
from producer.relay.transport import Transport, Way
from producer.rundir.journal import Journal
from producer.rundir.manifest import Manifest
from producer.rundir.run_directory import RunDir
from producer.scheduler.failure_limit import MaxFailures


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be done, and where it lies."""

    rundir: RunDir
    spec: Spec
    manifest: Manifest
    journal: Journal
    #: The dataset's listing, still to be made durable; None where the manifest is complete.
    listing: Iterable[bytes] | None
    #: What the listing passed over, once it has ended.
    counts: Callable[[], dict[str, int]]
    shard_size: int | None
    #: What Redis is told of the run, again should it forget.
    fields: dict[str, str]
    max_failures: MaxFailures | None
    priority: int
    #: What the user said of how images reach workers, and how they do, to begin with.
    transport: Transport
    way: Way
    #: Options with which one image of this run can be looked at again.
    options: str
    #: The workers are this run's own.
    embedded: bool
