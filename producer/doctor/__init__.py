"""A set-up in; what is well, what is not, and what to do about it, out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import redis

from common.broker import celery_app, connect
from common.brokerfile import url_of
from common.errors import BrokerError, UsageError, line_of
from common.folders import state_folder
from common.secrecy import redact
from producer.crew import Connection
from producer.doctor import broker, machine, runs, workers
from producer.doctor.finding import Finding, failed, note, warning
from producer.hub.folder import HubFolder


def examine(broker_url: str | None, datasets: Sequence[str], output: Path) -> Iterator[Finding]:
    """As they are found: what takes time is looked at last. Changes nothing."""
    yield from machine.findings(output)
    dataset = None
    if datasets:
        dataset, found = machine.look_at(datasets)
        yield found
    if broker_url is None:
        yield _of_hub() or note(
            "broker", "none is configured: runs start one of their own", "MANYEYES_BROKER_URL names one"
        )
        return
    try:
        client = connect(broker_url)
    except (BrokerError, UsageError) as error:
        yield failed("broker", str(error), "mend that first: nothing else of the cluster can be looked at")
        if hub := _of_hub():
            yield hub
        return
    with client, celery_app(broker_url) as app:
        yield from _as_far_as_allowed("broker", broker.findings(client, url_of(broker_url), redact(broker_url)))
        yield from _as_far_as_allowed("workers", workers.findings(Connection(client, app), dataset))
        yield from _as_far_as_allowed("runs", runs.findings(client))


def _of_hub() -> Finding | None:
    """What there is to say of a hub of this machine that is not used."""
    path = state_folder()
    if path is None:
        return None
    folder = HubFolder(path)
    try:
        if folder.running():
            words = "one runs here, and is not used"
            return note("hub", words, "to use it:  export MANYEYES_BROKER_URL=$(producer url)")
        if folder.read() is not None:
            return note("hub", f"one is kept in {folder.path}, and does not run", "producer up")
    except (OSError, UsageError) as error:
        return note("hub", f"whether one runs here cannot be seen: {line_of(error)}", "set HOME to a folder of yours")
    return None


def _as_far_as_allowed(part: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    try:
        yield from findings
    except redis.exceptions.NoPermissionError:
        yield note(part, "this login may not look further", "log in as a producer: of a hub, `producer url`")
    except redis.RedisError as error:
        yield warning(part, f"not looked at further: {error}", "look again when it does its work")
