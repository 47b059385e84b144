"""A queue in; its messages, taken and acknowledged by the commands that kombu's Redis transport sends, out."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass
from typing import Any

from common.broker import PREFIX, client
from common.messages import ShardMessage

#: kombu's keys of what was handed out and not acknowledged, and its priorities' suffixes.
_UNACKED, _INDEX = f"{PREFIX}unacked", f"{PREFIX}unacked_index"
_PRIORITIES = ("", "\x06\x163", "\x06\x166", "\x06\x169")
_EVENTS = f"{PREFIX}/0.celeryev"
#: Seconds that one BRPOP waits.
_WAIT_S = 1
#: Bytes of one event of a task (received, started, succeeded), about.
_EVENT = {"hostname": "", "utcoffset": 0, "pid": 1, "clock": 100000, "uuid": "", "timestamp": 0.0, "type": ""}


@dataclass(frozen=True, slots=True)
class Delivery:
    tag: str
    message: ShardMessage


class Poll:
    """A worker's place at the queue: one connection that waits in BRPOP, one for all else, one for its events."""

    def __init__(self, url: str, queue: str, hostname: str) -> None:
        self._keys = [f"{PREFIX}{queue}{priority}" for priority in _PRIORITIES]
        self._queue = queue
        self._hostname = hostname
        self._client = client(url)
        self._events_client = client(url)
        self._waiting: Any = self._client.connection_pool.get_connection()
        self._events: list[dict[str, Any]] = []
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
        self._note(raw["headers"]["id"], "task-received", "task-started")
        return Delivery(tag, ShardMessage.from_kwargs(kwargs))

    def acknowledge(self, delivery: Delivery) -> None:
        pipe = self._client.pipeline()
        pipe.zrem(_INDEX, delivery.tag)
        pipe.hdel(_UNACKED, delivery.tag)
        pipe.execute()
        self._note(delivery.tag, "task-succeeded")

    def _note(self, task: str, *kinds: str) -> None:
        now = time.time()
        self._events += [
            {**_EVENT, "hostname": self._hostname, "uuid": task, "timestamp": now, "type": k} for k in kinds
        ]

    def flush_events(self) -> None:
        """For Flower, which sees tasks by them: a worker gathers what its tasks have done, and sends it together."""
        if self._events:
            self._events_client.publish(_EVENTS, json.dumps(self._events))
            self._events.clear()
