"""The storm's broker fails as its kinds of faults say, by a real server's replies, and does its work afterwards."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from chaos.broker import Broker
from tests.waiting import wait_until

KEY = "kept"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    one = Broker(tmp_path / "broker.log")
    try:
        one.start()
        one.client.set(KEY, 1)
        yield one
    finally:
        one.close()


def asked(broker: Broker, *command: str | int) -> object:
    """What a new client by the URL in the file is answered, or the error."""
    url = urlsplit(broker.url_file.read_text().strip())
    login = {"unix_socket_path": url.path, "password": url.password, "socket_timeout": 0.5}
    with redis.Redis(**login, retry=Retry(NoBackoff(), 0)) as client:
        try:
            return client.execute_command(*command)  # type: ignore[no-untyped-call]
        except redis.RedisError as error:
            return error


def reads(broker: Broker) -> object:
    return asked(broker, "GET", KEY)


def writes(broker: Broker) -> object:
    return asked(broker, "SET", KEY, 2)


def test_a_demoted_broker_reads_and_does_not_write(broker: Broker) -> None:
    broker.demote(stale=True)
    assert reads(broker) == b"1" and isinstance(writes(broker), redis.exceptions.ReadOnlyError)
    assert broker.out
    broker.promote()
    assert writes(broker) is True and not broker.out


def test_one_whose_primary_is_gone_may_not_even_read(broker: Broker) -> None:
    broker.demote(stale=False)
    assert isinstance(reads(broker), redis.exceptions.MasterDownError)
    broker.promote()
    assert reads(broker) == b"1"


def test_one_that_follows_an_empty_server_loses_what_it_had(broker: Broker) -> None:
    broker.demote_to_empty()
    wait_until(lambda: reads(broker) is None, what="the copy of nothing")
    assert isinstance(writes(broker), redis.exceptions.ReadOnlyError)
    broker.promote()
    assert reads(broker) is None and writes(broker) is True


def test_one_that_hangs_takes_connections_and_answers_nothing(broker: Broker) -> None:
    broker.hang()
    assert isinstance(reads(broker), redis.TimeoutError)
    with pytest.raises(redis.ConnectionError):  # the storm itself doesn't wait for it
        _ = broker.client
    broker.go_on()
    assert reads(broker) == b"1" == broker.client.get(KEY)


def test_one_that_loads_says_so_and_has_its_data_then(broker: Broker) -> None:
    broker.fill()
    broker.kill()
    begun = time.monotonic()
    broker.start(load_s=2.0)
    assert isinstance(reads(broker), redis.BusyLoadingError)
    wait_until(lambda: reads(broker) == b"1", what="the end of its loading")
    assert time.monotonic() - begun > 1


def test_a_new_password_is_in_the_file_later_than_in_the_broker(broker: Broker) -> None:
    known = broker.client
    broker.rotate()
    assert isinstance(reads(broker), redis.AuthenticationError)
    assert broker.client is not known and broker.client.get(KEY) == b"1"
    broker.publish()
    assert reads(broker) == b"1" and broker.url_file.stat().st_mode & 0o777 == 0o600
    broker.kill()
    broker.start()
    assert reads(broker) == b"1", "the password of before its end"
