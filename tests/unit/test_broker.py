"""URLs of brokers: no password is ever shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.broker.connect import celery_app, check_url, connect
from common.errors import BrokerError, UsageError, line_of
from common.redaction import redact


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


@pytest.mark.parametrize(
    "url",
    [
        ":hunter2@host:6379/0",
        "hun/ter2@host",
        "sentinel://:hun ter2@h:1;j@x",
        "redis://:hun ter2@host:6379/0",
        "redis://:hun://ter2@host:6379/0",
        "redis://[::1/0",
        "redis://host:notaport/0",
        "rediss://host:99999/0",
        "unix:///x?db=a",
        "redis+socket:///x?virtual_host=a",
        "redis://:hunter2@host/0?socket_timeout=soon",
    ],
)
def test_what_is_mistyped_is_a_mistake_of_its_user_and_shows_no_password(url: str, tmp_path: Path) -> None:
    (tmp_path / "url").write_text(url)
    for named in (url, str(tmp_path / "url")):
        for reader in (check_url, celery_app, connect):
            with pytest.raises(UsageError) as caught:
                reader(named)
            said = line_of(caught.value) or ""
            assert "not a valid URL" in said or "neither redis://" in said or "holds no URL" in said
            assert not any(piece in str(caught.value) for piece in ("hun", "ter2"))


def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(BrokerError, match=r"127\.0\.0\.1:1"):
        connect("redis://127.0.0.1:1/0")
