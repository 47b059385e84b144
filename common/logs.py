"""Log records in, one line each out, as text or as JSON: with the run and the shard at hand, and no secret in it."""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import sys
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from common.errors import UsageError

#: The environment twin of `--log`.
VARIABLE = "MANYEYES_LOG"
_NO_WORD = re.compile(r"[\s\[\]]")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")


class Form(StrEnum):
    TEXT = "text"
    JSON = "json"

    @classmethod
    def parse(cls, text: str) -> Form:
        """Raises UsageError."""
        if text not in set(cls):
            raise UsageError(f"--log {text} is not known; choose of {', '.join(cls)}")
        return cls(text)


@dataclass(frozen=True, slots=True)
class About:
    """What a line is about, where that is known."""

    run: str | None = None
    shard: str | None = None
    attempt: int | None = None
    worker: str | None = None
    #: A pid; that of the process that writes, unless the line is about another one.
    process: int | None = None


#: What this process is at. Not a context variable: its other threads work on the same shard.
_here = About()


def here(**changes: Any) -> None:
    """From now on the lines of this process are about this run, shard, attempt, worker; None: about none."""
    global _here
    _here = replace(_here, **changes)


def about(**fields: Any) -> dict[str, About]:
    """The `extra` of one line that is about something else than its process is at."""
    return {"about": About(**fields)}


class Lines(logging.Formatter):
    """A record as one line; in text, an exception's traceback follows it, indented.

    File names and messages come from anywhere: what they hold can neither begin a line nor move a terminal's cursor.
    """

    def __init__(self, form: Form | None) -> None:
        """Without a form: the message alone, for someone who has typed the command."""
        super().__init__()
        self._form = form
        self._host = socket.gethostname()

    def format(self, record: logging.LogRecord) -> str:
        message, trace = _redacted(record.getMessage()), ""
        if record.exc_info:
            trace = _redacted(self.formatException(record.exc_info))
        if self._form is Form.JSON:
            return self._json(record, message, trace)
        lines = [printable(message), *(f"    {printable(line)}" for line in trace.splitlines())]
        return (self._head(record) if self._form else "") + "\n".join(lines)

    def _json(self, record: logging.LogRecord, message: str, trace: str) -> str:
        fields = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": message,
            **_fields(record),
            "host": self._host,
        }
        if trace:
            fields["exception"] = trace
        # An undecodable file name is a lone surrogate to Python, which many readers of JSON refuse.
        clean = {name: _whole(value) if isinstance(value, str) else value for name, value in fields.items()}
        return json.dumps(clean)

    def _head(self, record: logging.LogRecord) -> str:
        """[2026-11-21T10:55:01.234Z INFO a1b2c3@host/4242 run=... shard=0:96+32 attempt=1]"""
        known = _fields(record)
        who = f"{known.pop('worker', self._host)}/{known.pop('process')}"
        words = [_time(record), record.levelname, who, *(f"{name}={value}" for name, value in known.items())]
        # Not even a run's name may look like the next field: messages come from outside.
        return f"[{' '.join(_NO_WORD.sub('_', printable(word)) for word in words)}] "


def setup(form: Form | None, level: int, handler: logging.Handler | None = None) -> logging.Handler:
    """All loggers write there, by default to the standard error, in place of wherever they wrote before."""
    handler = handler or logging.StreamHandler(sys.__stderr__)
    handler.setFormatter(Lines(form))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    logging.captureWarnings(True)
    return handler


def last_words(line: str, form: Form | None) -> None:
    """The one line by which a command fails, on the standard error; without a form, for someone who has typed it."""
    record = logging.makeLogRecord(
        {"name": "manyeyes", "levelno": logging.ERROR, "levelname": "ERROR", "msg": f"error: {line}"}
    )
    print(Lines(form).format(record), file=sys.__stderr__, flush=True)


def wanted() -> Form | None:
    """What the environment asks for; a word that is not known is refused where it is an option."""
    text = os.environ.get(VARIABLE, "")
    return Form(text) if text in set(Form) else None


def for_file() -> dict[str, str]:
    """The environment of a process whose lines go to a file: they have times, also where nobody has said so."""
    return {VARIABLE: wanted() or Form.TEXT}


def printable(text: str) -> str:
    """On one line: control characters, line ends, and what reverses a line's direction, escaped."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """What is known, in the order of About's."""
    said = asdict(getattr(record, "about", None) or About())
    found = {name: value if said[name] is None else said[name] for name, value in asdict(_here).items()}
    found["process"] = found["process"] or os.getpid()
    return {name: value for name, value in found.items() if value is not None}


def _redacted(text: str) -> str:
    """The last defence: whoever writes a URL with a password, or what Redis was sent, ought to redact it."""
    if "caused error: " in text:
        # kombu's pipelines; ours do not say it.
        from common.broker.error_text import plain

        text = plain(text)
    if "://" not in text:
        return text
    # Not needed for most lines, and slow to load.
    from common.redaction import redact

    return _URL.sub(lambda found: redact(found[0]), text)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _whole(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()
