"""A set-up in; what is well, what is not, and what to do about it, out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import redis

from common.broker import celery_app, connect
from common.errors import BrokerError, UsageError
from common.secrecy import redact
from producer.crew import Connection
from producer.doctor import broker, machine, runs, workers
from producer.doctor.finding import Finding, failed, note, warning
from producer.hub.folder import HubFolder
from producer.hub.words import default_folder


def examine(broker_url: str | None, datasets: Sequence[str], output: Path) -> Iterator[Finding]:
    """As they are found: what takes time is looked at last. Changes nothing."""
    yield from machine.findings(output)
    dataset = None
    if datasets:
        dataset, found = machine.look_at(datasets)
        yield found
    if broker_url is None:
        if HubFolder(default_folder()).running():
            words = "a hub runs here, and none is configured: runs start one of their own"
            yield note("broker", words, "to use the hub:  export MANYEYES_BROKER_URL=$(producer url)")
        else:
            yield note("broker", "none is configured: runs start one of their own", "MANYEYES_BROKER_URL names one")
        return
    try:
        client = connect(broker_url)
    except (BrokerError, UsageError) as error:
        yield failed("broker", str(error), "nothing else of the cluster can be looked at")
        return
    with client, celery_app(broker_url) as app:
        yield from _as_far_as_allowed("broker", broker.findings(client, broker_url, redact(broker_url)))
        yield from _as_far_as_allowed("workers", workers.findings(Connection(client, app), dataset))
        yield from _as_far_as_allowed("runs", runs.findings(client))


def _as_far_as_allowed(part: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    try:
        yield from findings
    except redis.RedisError as error:
        yield warning(part, f"not looked at further: {error}", "log in as a producer: of a hub, `producer url`")
