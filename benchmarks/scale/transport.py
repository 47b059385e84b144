"""A queue in; its messages, taken and acknowledged by the commands that kombu's Redis transport sends, out."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass
from typing import Any, cast

from common.broker.connect import PREFIX, client
from common.protocol.messages import ShardMessage

#: kombu's keys of what was handed out and not acknowledged, and its priorities' suffixes.
_UNACKED, _INDEX = f"{PREFIX}unacked", f"{PREFIX}unacked_index"
_PRIORITIES = ("", "\x06\x163", "\x06\x166", "\x06\x169")
_EVENTS = f"{PREFIX}/0.celeryev"
_CONTROL = f"{PREFIX}/0.celery.pidbox"
#: Seconds that one BRPOP waits.
_WAIT_S = 1
#: Bytes of one event of a task (received, started, succeeded), about.
_EVENT = {"hostname": "", "utcoffset": 0, "pid": 1, "clock": 100000, "uuid": "", "timestamp": 0.0, "type": ""}


@dataclass(frozen=True, slots=True)
class Delivery:
    tag: str
    message: ShardMessage


class Poll:
    """A worker's place at the queue: a connection that waits in BRPOP, one for all else, one each for what it tells
    Flower and for what it is told."""

    def __init__(self, url: str, queue: str, hostname: str) -> None:
        self._keys = [f"{PREFIX}{queue}{priority}" for priority in _PRIORITIES]
        self._queue = queue
        self._hostname = hostname
        self._client = client(url)
        self._events_client = cast(Any, client(url))
        self._waiting: Any = self._client.connection_pool.get_connection()
        self._told = self._events_client.pubsub()
        self._told.subscribe(_CONTROL)
        #: A BRPOP is under way.
        self.asked = False

    def fileno(self) -> int:
        return int(self._waiting._sock.fileno())

    def ask(self) -> None:
        self._waiting.send_command("BRPOP", *self._keys, _WAIT_S)
        self.asked = True

    def read(self) -> Delivery | None:
        """What BRPOP has brought, noted as handed out; None where it has waited in vain."""
        answer = self._waiting.read_response()
        self.asked = False
        if answer is None:
            return None
        raw = json.loads(answer[1])
        tag = raw["properties"]["delivery_tag"]
        pipe = self._client.pipeline()
        pipe.zadd(_INDEX, {tag: time.time()})
        pipe.hset(_UNACKED, tag, json.dumps([raw, "", self._queue]))
        pipe.execute()
        _, kwargs, _ = json.loads(base64.b64decode(raw["body"]))
        self._say(raw["headers"]["id"], "task-received", "task-started")
        return Delivery(tag, ShardMessage.from_kwargs(kwargs))

    def acknowledge(self, delivery: Delivery) -> None:
        pipe = self._client.pipeline()
        pipe.zrem(_INDEX, delivery.tag)
        pipe.hdel(_UNACKED, delivery.tag)
        pipe.execute()
        self._say(delivery.tag, "task-succeeded")

    def _say(self, task: str, *kinds: str) -> None:
        """To Flower, should one listen: each event by itself, as a worker at this pace does."""
        for kind in kinds:
            event = {**_EVENT, "hostname": self._hostname, "uuid": task, "timestamp": time.time(), "type": kind}
            self._events_client.publish(f"{_EVENTS}/task.multi", json.dumps([event]))

    def beat(self) -> None:
        """Celery's own heartbeat."""
        event = {**_EVENT, "hostname": self._hostname, "timestamp": time.time(), "type": "worker-heartbeat"}
        self._events_client.publish(f"{_EVENTS}/worker.heartbeat", json.dumps(event))
