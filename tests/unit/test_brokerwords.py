"""Errors of a real server that is full: its reason is said, and nothing of what was sent to it."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import redis
from kombu.exceptions import OperationalError

from common.broker import wrong_server
from common.broker.error_text import reason
from common.errors import line_of
from common.logs import Form, Lines

IMAGE = b"\xff\xd8\xff\xe0\x00\x10JFIF\n" + b"secret) of pipeline " * 3
FULL = "command not allowed when used memory > 'maxmemory'"


@pytest.fixture
def full(client: redis.Redis) -> Iterator[redis.Redis]:
    client.config_set("maxmemory", 1)
    yield client
    client.config_set("maxmemory", 0)


@pytest.fixture
def plain(full: redis.Redis) -> Iterator[redis.Redis]:
    """redis-py's own client of the same server."""
    options = full.connection_pool.connection_kwargs
    pool = redis.ConnectionPool(connection_class=redis.UnixDomainSocketConnection, **options)
    with redis.Redis.from_pool(pool) as client:
        yield client


def raised(plain: redis.Redis, transaction: bool) -> redis.RedisError:
    with pytest.raises(redis.RedisError) as caught:
        plain.pipeline(transaction=transaction).set("key", IMAGE).execute()
    return caught.value


@pytest.mark.parametrize("transaction", [False, True])
def test_our_own_pipelines_say_the_reason_only(full: redis.Redis, transaction: bool) -> None:
    assert str(raised(full, transaction)) == "its memory is full, as its maxmemory bounds it (OOM)"


def test_our_own_pipelines_repeat_nothing_that_was_sent(client: redis.Redis) -> None:
    client.set("key", "x")
    with pytest.raises(redis.ResponseError) as caught:
        client.pipeline().lpush("key", IMAGE).execute()
    assert str(caught.value) == "WRONGTYPE Operation against a key holding the wrong kind of value"


@pytest.mark.parametrize("transaction", [False, True])
def test_what_redis_py_puts_before_it_is_taken_away(plain: redis.Redis, transaction: bool) -> None:
    """As kombu's pipelines say it."""
    error = raised(plain, transaction)
    assert "JFIF" in str(error)
    assert reason(error) == FULL
    assert line_of(error) == f"the broker fails: {FULL}"
    wrapped = OperationalError(str(error))
    wrapped.__cause__ = error
    assert reason(wrapped) == FULL
    record = logging.makeLogRecord({"msg": "lost: %s", "args": (error,), "levelname": "ERROR"})
    assert Lines(Form.TEXT).format(record).endswith(f"lost: {FULL}.")


def test_a_script_is_not_named(plain: redis.Redis) -> None:
    script = plain.register_script("return redis.call('set', KEYS[1], 'x')")
    with pytest.raises(redis.RedisError) as caught:
        script(["key"])
    assert "script: " in str(caught.value)
    assert reason(caught.value) == FULL


def test_what_a_server_quotes_of_a_command_is_not_repeated(client: redis.Redis) -> None:
    with pytest.raises(redis.ResponseError) as caught:
        client.execute_command("NOSUCH", "secret")
    assert reason(caught.value) == "unknown command 'NOSUCH'"


@pytest.mark.parametrize(
    ("facts", "word"),
    [
        ({b"mode": b"cluster", b"version": b"9.1.2"}, "Cluster"),
        ({"cluster_enabled": 1}, "Cluster"),
        ({"redis_mode": "sentinel"}, "Sentinel"),
        ({b"mode": b"standalone", b"version": b"5.0.7"}, "Redis 5.0, which is too old"),
        ({"redis_version": "7.2.4", "valkey_version": "9.0-rc1"}, None),
        ({"version": "255.255.255"}, None),
        ({"version": "unstable"}, None),
        ({}, None),
    ],
)
def test_what_a_server_says_of_itself(facts: dict[object, object], word: str | None) -> None:
    said = wrong_server.of_facts(facts)
    assert said is None if word is None else said is not None and word in said
