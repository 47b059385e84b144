"""Bytes of a queue or of a broadcast in; the message that workers take out, written anew, or why it is refused.

Nothing that a stranger has written goes on to Celery but what is named here: no header, no option, no signature of
another task, nothing that is compressed or that could be executed.
"""

from __future__ import annotations

import base64
import json
import re
import uuid
from dataclasses import dataclass
from typing import Any

from common.errors import ProtocolError
from common.limits import MAX_ASKED, MAX_MESSAGE_BYTES, MAX_PATH_BYTES
from common.logs import printable
from common.protocol.file_probe import SIGHT_COMMAND
from common.protocol.messages import AHEAD, DETECT_TASK, ShardMessage
from common.protocol.rejections import Reason, Refused

#: What Celery sends along with a task where nothing more is to happen after it.
_NOTHING_AFTER = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
#: Headers by which Celery would wait, give up, count or answer.
_OPTIONS = ("eta", "expires", "group", "retries", "stamps", "replaced_task_nesting")
#: Remote commands that change nothing: what Flower, `celery status` and `celery inspect` read.
_COMMANDS = frozenset(
    {"ping", "stats", "conf", "registered", "active_queues", "active", "reserved", "scheduled", "revoked"}
    # Flower asks for these when it comes.
    | {"enable_events", "heartbeat"}
)
_REPLIES = "reply.celery.pidbox"
#: Names of reply queues and tickets: UUIDs.
_NAME = re.compile(r"[0-9A-Za-z-]{1,64}")
#: Characters of a text that only people read.
_SHOWN = 300


@dataclass(frozen=True, slots=True)
class _Envelope:
    headers: dict[str, Any]
    body: Any


def task(raw: bytes, queue: str) -> bytes:
    """The one task that there is, as this worker itself would have sent it. Raises Refused."""
    envelope = _open(raw)
    headers = envelope.headers
    if headers.get("task") != DETECT_TASK:
        raise Refused(Reason.UNKNOWN_TASK, f"a message for the task {_shown(headers.get('task'))}; there is only one")
    asked = [name for name in _OPTIONS if headers.get(name)]
    if headers.get("timelimit") not in (None, [None, None]):
        asked.append("timelimit")
    match envelope.body:
        case [[], dict() as kwargs, dict() as after]:
            asked += [name for name, value in after.items() if value]
        case _:
            raise Refused(Reason.MALFORMED, "a task's message without its arguments")
    if asked:
        raise Refused(Reason.OPTIONS, f"a message with {_shown(asked)}, which no producer asks for")
    try:
        message = ShardMessage.from_kwargs(kwargs)
    except (ProtocolError, RecursionError) as error:
        raise Refused(Reason.PROTOCOL, str(error)) from None
    told = {name: text for name in ("shadow", "argsrepr", "kwargsrepr") if (text := _text(headers.get(name)))}
    return _task(message, queue, told)


def _task(message: ShardMessage, queue: str, told: dict[str, str]) -> bytes:
    """`told`: what Flower and the log show of it, in its sender's words."""
    name = message.task_id
    headers = {"lang": "py", "task": DETECT_TASK, "id": name, "root_id": name, "parent_id": None, **told}
    properties = {
        "correlation_id": name,
        "reply_to": "",
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": queue},
        # Should it be given back unread: it had its turn.
        "priority": AHEAD,
    }
    return _seal(headers, properties, [[], message.to_kwargs(), _NOTHING_AFTER])


def control(raw: bytes, anything: bool = False) -> bytes:
    """A remote command that workers obey; with `anything` all that Celery has. Raises Refused."""
    body = _open(raw).body
    if not isinstance(body, dict) or not isinstance(method := body.get("method"), str):
        raise Refused(Reason.MALFORMED, "a broadcast that is no command")
    arguments = body.get("arguments") or {}
    if not isinstance(arguments, dict):
        raise Refused(Reason.MALFORMED, f"the command {_shown(method)} without its arguments")
    if method == SIGHT_COMMAND:
        arguments = _question(arguments)
    elif not anything and method not in _COMMANDS:
        text = f"the command {_shown(method)}; MANYEYES_REMOTE_CONTROL=1 lets a worker obey it"
        raise Refused(Reason.CONTROL, text)
    # A pattern is tried on names, and may be one that never comes to an end.
    if body.get("pattern") or body.get("matcher"):
        raise Refused(Reason.CONTROL, f"the command {_shown(method)} for a pattern of names; name the workers")
    clean = {
        "method": method,
        "arguments": arguments if anything or method == SIGHT_COMMAND else {},
        "destination": _names(body.get("destination")),
        **_reply(body),
    }
    return _seal({"clock": 0}, {"delivery_info": {"exchange": "celery.pidbox", "routing_key": ""}}, clean)


def _question(arguments: dict[str, Any]) -> dict[str, Any]:
    match arguments:
        case {"root": str() as root, "paths": list() as paths, "cargo": str() as cargo} if len(arguments) == 3:
            texts = [root, *paths]
            known = all(isinstance(text, str) and len(text) <= MAX_PATH_BYTES for text in texts)
            # No producer asks about URLs, and whoever may broadcast would send the worker to any, as who it is there.
            if known and len(paths) <= MAX_ASKED and (root.startswith("/") or not paths):
                return {"root": root, "paths": paths, "cargo": cargo}
    raise Refused(Reason.MALFORMED, "a question about files that names none, too many, or URLs")


def _names(destination: Any) -> list[str] | None:
    if destination is None or (isinstance(destination, list) and all(isinstance(name, str) for name in destination)):
        return destination
    raise Refused(Reason.MALFORMED, "a command whose workers have no names")


def _reply(body: dict[str, Any]) -> dict[str, Any]:
    """Answers go to a reply queue of that one exchange, and nowhere else."""
    match body.get("reply_to"), body.get("ticket"):
        case None, _:
            return {}
        case {"exchange": exchange, "routing_key": str() as key}, str() as ticket:
            if exchange == _REPLIES and _NAME.fullmatch(key) and _NAME.fullmatch(ticket):
                return {"reply_to": {"exchange": _REPLIES, "routing_key": key}, "ticket": ticket}
    raise Refused(Reason.MALFORMED, "a command whose answer would go elsewhere than to its asker")


def _open(raw: bytes) -> _Envelope:
    """The size is looked at before anything is parsed, and compression before anything is unpacked."""
    if len(raw) > MAX_MESSAGE_BYTES:
        raise Refused(Reason.TOO_LARGE, f"a message of {len(raw)} bytes; at most {MAX_MESSAGE_BYTES} are taken")
    envelope = _parse(raw)
    match envelope:
        case {"headers": dict() as headers, "properties": dict() as properties, "body": str() as body}:
            if headers.get("compression"):
                raise Refused(Reason.COMPRESSED, f"a message compressed as {_shown(headers['compression'])}")
        case _:
            raise Refused(Reason.MALFORMED, "a message without headers, properties or body")
    if (kind := envelope.get("content-type")) != "application/json":
        raise Refused(Reason.CONTENT_TYPE, f"a message of the content type {_shown(kind)}; JSON only is taken")
    if (encoding := properties.get("body_encoding")) != "base64":
        raise Refused(Reason.MALFORMED, f"a message whose body is encoded as {_shown(encoding)}")
    try:
        return _Envelope(headers, _parse(base64.b64decode(body, validate=True)))
    except ValueError:
        raise Refused(Reason.MALFORMED, "a message whose body is no base64") from None


def _parse(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refused(Reason.MALFORMED, f"a message that is no JSON: {error}") from None


def _seal(headers: dict[str, Any], properties: dict[str, Any], body: Any) -> bytes:
    """As kombu writes it, under a tag of our own: a forged one could stand for another message."""
    envelope = {
        "body": base64.b64encode(json.dumps(body).encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers,
        "properties": {**properties, "body_encoding": "base64", "delivery_tag": str(uuid.uuid4())},
    }
    return json.dumps(envelope).encode()


def _text(value: Any) -> str:
    """What people read, without characters that a terminal obeys."""
    return printable(value[:_SHOWN]) if isinstance(value, str) else ""


def _shown(value: Any) -> str:
    return ascii(value)[:80] if isinstance(value, (str, list)) else f"a {type(value).__name__}"
