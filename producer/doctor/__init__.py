"""A set-up in; what is well, what is not, and what to do about it, out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import redis
from kombu.exceptions import OperationalError

from common.broker.asking import ANSWER_S, ask
from common.broker.url_file import url_of
from common.errors import BrokerError, UsageError, line_of
from common.limits import SIGHT_S
from common.redaction import redact
from producer.cluster.hub import here, messages
from producer.doctor import broker, machine, runs, workers
from producer.doctor.finding import Finding, failed, note, warning

_FIRST = "mend that first: nothing else of the cluster can be looked at"

Question = Callable[[redis.Redis], Iterator[Finding]]


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
        url = url_of(broker_url)
    except UsageError as error:
        yield failed("broker", str(error), _FIRST)
        return
    parts: dict[str, Question] = {
        "broker": lambda client: broker.findings(client, url, redact(url)),
        "workers": workers.findings,
        "images": lambda client: workers.sight_of(client, url, dataset),
        "runs": runs.findings,
    }
    try:
        for part, question in parts.items():
            yield from _as_far_as_allowed(part, url, question)
    # What gives no answer now gives none a moment later, and somebody waits.
    except (BrokerError, UsageError) as error:
        if said := here.remark(url):
            yield failed("broker", f"{redact(url)} {said.words}", said.remedy)
            return
        yield failed("broker", str(error), _FIRST)
        if here.whose(url) is None and (hub := _of_hub()):
            yield hub


def _of_hub() -> Finding | None:
    """What there is to say of a hub of this machine that is not used."""
    try:
        for folder in here.folders():
            if folder.running():
                use = f"to use it:  export MANYEYES_BROKER_URL=$({messages.command(folder, 'url')})"
                return note("hub", "one runs here, and is not used", use)
            if folder.read() is not None:
                return note("hub", f"one is kept in {folder.path}, and does not run", messages.command(folder, "up"))
    except (OSError, UsageError) as error:
        return note("hub", f"whether one runs here cannot be seen: {line_of(error)}", "set HOME to a folder of yours")
    return None


def _as_far_as_allowed(part: str, url: str, question: Question) -> Iterator[Finding]:
    """What was found until the broker gave no more answer. Raises BrokerError, UsageError."""
    found: list[Finding] = []
    seconds = ANSWER_S + (SIGHT_S if part == "images" else 0.0)
    fault: Exception | None = None
    try:
        ask(url, lambda client: found.extend(question(client)), seconds)
    except (BrokerError, redis.RedisError, OperationalError) as error:
        fault = error
    yield from list(found)
    if isinstance(fault, BrokerError):
        raise fault
    if isinstance(fault, redis.exceptions.NoPermissionError):
        yield note(part, "this login may not look further", "log in as a producer: of a hub, `producer url`")
    elif fault is not None:
        yield warning(part, f"not looked at further: {line_of(fault)}", "look again when it does its work")
