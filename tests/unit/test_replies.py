"""Error replies of Redis, as servers old and new write them: later, with another login, or never."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest
import redis
from kombu.exceptions import OperationalError
from redis._parsers.base import BaseParser

from common.broker.outage import Outage
from common.broker.replies import NOT_NOW, NotNow, passes, read, wants_login, why_not
from common.broker.url_file import FileLogin, absolute, url_of
from common.errors import UsageError
from producer.scheduler.broker_outage import Unrest

LATER = [
    *(f"{code} the server says more" for code in NOT_NOW if code != "LOADING"),
    "EXECABORT Transaction discarded because of: READONLY You can't write against a read only replica.",
    "EXECABORT Transaction discarded because of: NOREPLICAS Not enough good replicas to write.",
    "ERR Error running script (call to f_1): @user_script:1: @user_script: 1: -OOM command not allowed when used "
    "memory > 'maxmemory'.",
    "READONLY You can't write against a read only replica. script: f1, on @user_script:1.",
]
NEVER = [
    "MOVED 3999 127.0.0.1:6381",
    "CROSSSLOT Keys in request don't hash to the same slot",
    "WRONGTYPE Operation against a key holding the wrong kind of value",
    "NOPERM User x has no permissions to run the 'set' command",
    "ERR unknown command 'EVALSHA', with args beginning with: ",
    "ERR DB index is out of range",
    "EXECABORT Transaction discarded because of previous errors.",
    "BUSYKEY Target key name already exists.",
]
LOGIN = [
    "NOAUTH Authentication required.",
    "WRONGPASS invalid username-password pair or user is disabled.",
    "ERR invalid password",
]


def error_of(reply: str) -> redis.RedisError:
    """As redis-py reads it."""
    found = BaseParser.parse_error(reply)
    return read(found) if isinstance(found, redis.ResponseError) else found


@pytest.mark.parametrize("reply", LATER)
def test_what_is_done_later_is_a_lost_connection(reply: str) -> None:
    found = error_of(reply)
    assert isinstance(found, NotNow) and passes(found) and not wants_login(found)
    assert any(words in str(found) for words in NOT_NOW.values())


@pytest.mark.parametrize("reply", NEVER)
def test_what_is_never_done_ends_a_run_at_once(reply: str) -> None:
    found = error_of(reply)
    assert not passes(found)
    begun = time.monotonic()
    with pytest.raises(type(found)):
        Unrest().outwait(found)
    assert time.monotonic() - begun < 0.4


@pytest.mark.parametrize("reply", LOGIN)
def test_a_login_that_was_changed_is_waited_for_and_told(reply: str) -> None:
    found = error_of(reply)
    assert passes(found) and wants_login(found)
    assert "another password" in why_not(found)


def test_a_login_that_was_refused_is_tried_less_and_less_often(caplog: pytest.LogCaptureFixture) -> None:
    outage = Outage(logging.getLogger("manyeyes"), "it waits", "it is back")
    gone, refused = redis.ConnectionError("Connection refused"), error_of(LOGIN[1])
    for _ in range(2):
        assert [outage.failed(error) for error in (gone, refused, gone, refused)] == [0, 1, 0, 2]
        assert [outage.failed(refused) for _ in range(5)] == [4, 8, 16, 30, 30]
        outage.let_in()
        assert outage.failed(refused) == 1
        outage.worked()
        said = caplog.messages[-3:]
        assert [words.partition(" (")[0] for words in said[:2]] == [
            "it waits: Connection refused",
            "it waits: it wants another password or certificate",
        ]
        assert said[2] == "it is back, after 0 s"
    outage.worked()
    assert len(caplog.records) == 6


@pytest.mark.parametrize("cause", [redis.ConnectionError("Error -3 connecting to x:6379."), redis.TimeoutError("slow")])
def test_what_kombu_wraps_counts_as_its_cause(cause: Exception) -> None:
    wrapped = OperationalError("x")
    wrapped.__cause__ = cause
    assert passes(wrapped)
    wrapped.__cause__ = error_of(NEVER[0])
    assert not passes(wrapped)


def test_a_login_in_a_file_is_read_anew_each_time(tmp_path: Path) -> None:
    file = tmp_path / "broker.url"
    login = FileLogin(str(file))
    with pytest.raises(redis.ConnectionError, match=r"broker\.url"):
        login.get_credentials()
    for url, credentials in (
        ("redis://:first@h:1/0", ("first",)),
        ("redis://me:se%23cond@h:1/0", ("me", "se#cond")),
        ("redis://h:1/0", ()),
    ):
        file.write_text(url + "\n")
        assert login.get_credentials() == credentials
    file.write_text("")
    with pytest.raises(redis.ConnectionError, match="holds no URL"):
        login.get_credentials()


def test_a_file_is_found_from_every_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broker.url").write_text("redis://h:1/0")
    monkeypatch.chdir(tmp_path)
    name = absolute("broker.url")
    monkeypatch.chdir("/")
    assert url_of(name) == absolute("redis://h:1/0") == "redis://h:1/0"
    with pytest.raises(UsageError, match=r"broker\.url"):
        url_of("broker.url")
