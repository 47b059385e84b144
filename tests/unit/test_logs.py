"""Lines of a log: whose they are, that nobody can forge one, and that no password is in them."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from common import logs
from common.errors import UsageError
from producer.cluster.log_tail import Log

HOSTILE = "a.jpg\n[2026-11-21T10:00:00.000Z INFO x/1] forged\r\x1b[2J\x9b31m\u2028\u202e\udc80"


@pytest.fixture(autouse=True)
def nowhere() -> Iterator[None]:
    yield
    logs.here(run=None, shard=None, attempt=None, worker=None)


def record(message: str, *arguments: object, **fields: object) -> logging.LogRecord:
    made = logging.LogRecord("worker.reading.item_reader", logging.WARNING, __file__, 1, message, arguments, None)
    made.created = 1_763_722_501.25
    if fields:
        made.__dict__.update(logs.about(**fields))
    return made


def as_json(made: logging.LogRecord) -> dict[str, object]:
    line = logs.Lines(logs.Form.JSON).format(made)
    assert line.isprintable() and line.isascii()
    found: dict[str, object] = json.loads(line)
    return found


def test_a_line_says_what_its_process_is_at() -> None:
    logs.here(run="20261121-1", shard="0:96+32", attempt=2, worker="a1b2c3@host")
    found = as_json(record("waits for %s", "bytes"))
    assert found.pop("host") and found.pop("process")
    assert found == {
        "time": "2025-11-21T10:55:01.250Z",
        "level": "WARNING",
        "logger": "worker.reading.item_reader",
        "message": "waits for bytes",
        "run": "20261121-1",
        "shard": "0:96+32",
        "attempt": 2,
        "worker": "a1b2c3@host",
    }
    text = logs.Lines(logs.Form.TEXT).format(record("waits", process=7))
    assert text == ("[2025-11-21T10:55:01.250Z WARNING a1b2c3@host/7 run=20261121-1 shard=0:96+32 attempt=2] waits")


def test_a_line_may_be_about_something_else() -> None:
    logs.here(run="20261121-1")
    found = as_json(record("has died", shard="0:0+1", attempt=3, process=42))
    assert (found["run"], found["shard"], found["attempt"], found["process"]) == ("20261121-1", "0:0+1", 3, 42)


@pytest.mark.parametrize("form", [None, *logs.Form])
def test_no_name_forges_a_line_or_moves_the_cursor(form: logs.Form | None) -> None:
    line = logs.Lines(form).format(record("cannot read %s", HOSTILE, run=HOSTILE))
    assert line.isprintable() and line.encode(), "one line, and one that can be written"
    if form is logs.Form.TEXT:
        head, _, _ = line.partition("] ")
        assert len(head.split()) == 4, "a hostile run is one word of the head"
    if form is logs.Form.JSON:
        assert json.loads(line)["message"].encode(), "no lone surrogate, which jq and others refuse"


@pytest.mark.parametrize("form", [None, *logs.Form])
def test_an_exception_follows_its_line_and_forges_none(form: logs.Form | None) -> None:
    made = record("could not look")
    try:
        raise ValueError(f"{HOSTILE} of redis://:secret@host:6379/0")
    except ValueError:
        made.exc_info = sys.exc_info()
    first, *rest = logs.Lines(form).format(made).splitlines()
    assert all(line.startswith("    ") and line.isprintable() for line in rest)
    if form is logs.Form.JSON:
        assert not rest and "ValueError: a.jpg\n" in json.loads(first)["exception"]
    else:
        assert len(rest) > 3, "the traceback"
    assert "secret" not in "".join([first, *rest])


@pytest.mark.parametrize("form", [None, *logs.Form])
def test_no_password_of_a_url_is_written(form: logs.Form | None) -> None:
    urls = (
        "redis://:secret@host:6379/0",
        "rediss://me:se@cret@host/0?ssl_certfile=x",
        "'redis+socket:///x?password=secret'",
    )
    line = logs.Lines(form).format(record("lost %s %s %s, a@b", *urls))
    assert "secret" not in line and "se@cret" not in line and "me:" not in line
    assert line.count("***") == 3 and "a@b" in line and "@host:6379/0" in line


@pytest.mark.parametrize("form", list(logs.Form))
def test_last_words_are_found_in_a_log_of_either_form(
    form: logs.Form, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    said = Log(tmp_path / "worker.log", 0)
    logs.last_words("model x.onnx is empty", form)
    lines = logs.Lines(form)
    pool = lines.format(record("error: no memory"))
    after = lines.format(record("the worker ends"))
    said.path.write_text(f"{pool}\n{after}\n")
    assert said.last_error() == "no memory"
    said.path.write_text(f"{pool}\n{capfd.readouterr().err}{after}\n")
    assert said.last_error() == "model x.onnx is empty"


def test_a_form_that_is_not_known_is_refused() -> None:
    with pytest.raises(UsageError, match="--log xml is not known; choose of text, json"):
        logs.Form.parse("xml")
