"""A broker and its worker in; their real messages, as they came over the wire, out: what a mutant is made of."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, cast

import redis

from common.broker.connect import PREFIX, celery_app
from common.protocol.ledger import Ledger
from common.protocol.messages import DETECT_TASK, ShardId, ShardMessage, task_queue
from common.protocol.spec import Spec

#: Seconds in which one's own command comes back.
_LISTEN_S = 5.0


@dataclass(frozen=True, slots=True)
class Prey:
    """What an attacker who reads the broker has."""

    queue: str
    #: A finished run: its name, its spec, its messages.
    run: str
    spec: Spec
    tasks: tuple[bytes, ...]
    #: The broadcast that carries commands, and one of them.
    channel: str
    command: bytes
    #: Files that no worker may read, and one that must never be there: code was run, then.
    canary: str
    witness: str
    #: A link below the root that leads to the first of them.
    link: str
    #: The run that goes on; its messages, as they were seen in the queue.
    beside: str
    live: list[bytes] = field(default_factory=list)

    @property
    def list_key(self) -> str:
        return f"{PREFIX}{task_queue(self.queue)}"


def tasks(client: redis.Redis, url: str, run: str, spec: Spec) -> tuple[bytes, ...]:
    """Sent by the producer's own app, to a queue that nobody serves."""
    app, queue = celery_app(url), "nobody"
    for shard in (ShardId(0, 0, 8), ShardId(0, 8, 1), ShardId(1, 16, 300)):
        message = ShardMessage(run, shard, 1, spec.digest)
        app.send_task(DETECT_TASK, kwargs=message.to_kwargs(), queue=queue, task_id=message.task_id)
    app.close()
    raws = cast("list[bytes]", client.lrange(f"{PREFIX}{queue}", 0, -1))
    client.delete(f"{PREFIX}{queue}")
    return tuple(raws)


def command(client: redis.Redis, url: str) -> tuple[str, bytes]:
    """The broadcast's name, and a ping that went through it."""
    app = celery_app(url)
    with client.pubsub(ignore_subscribe_messages=True) as ear:  # type: ignore[no-untyped-call]
        ear.psubscribe("*pidbox*")
        ear.get_message(timeout=_LISTEN_S)
        app.control.broadcast("ping", reply=True, timeout=0.1, arguments={})
        heard: dict[str, Any] | None = ear.get_message(timeout=_LISTEN_S)
    app.close()
    assert heard is not None, "no command was heard"
    return heard["channel"].decode(), heard["data"]


def spec_of(client: redis.Redis, run: str) -> Spec:
    return Spec.from_text(Ledger(client, run).spec_text())


def opened(raw: bytes) -> dict[str, Any]:
    envelope: dict[str, Any] = json.loads(raw)
    return envelope
