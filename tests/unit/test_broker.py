"""URLs of brokers: no password is ever shown."""

from __future__ import annotations

import pytest

from common.broker import check_url, connect
from common.errors import BrokerError, UsageError
from common.secrecy import redact


@pytest.mark.parametrize(
    "url",
    [
        "redis://:hunter2@localhost:6379/0",
        "redis://me:hun/ter2@localhost:6379/0",
        "redis://localhost:6379/0?password=hunter2",
        "redis+socket://:hunter2@/tmp/v.sock?virtual_host=0",
        "not a url //:hunter2@x",
    ],
)
def test_no_password_is_shown(url: str) -> None:
    assert "ter2" not in redact(url)


@pytest.mark.parametrize(
    "url", ["redis://:hun#ter2@localhost:1/0", "redis://:se/cret@localhost:1/0", "amqp://:hunter2@x"]
)
def test_a_url_that_is_none_is_named_without_its_password(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_url(url)
    assert not any(piece in str(caught.value) for piece in ("hun", "ter2", "cret"))


def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(BrokerError, match=r"127\.0\.0\.1:1"):
        connect("redis://127.0.0.1:1/0")
