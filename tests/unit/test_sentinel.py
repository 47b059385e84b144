"""What a `sentinel://` URL says, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.broker.connect import celery_app, check_url
from common.broker.sentinel import Address, parse
from common.errors import UsageError
from worker.flower_settings import broker_options

BOTH = (("a", 26379), ("b", 7000))


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("sentinel://a", Address(BOTH[:1])),
        ("sentinel://a,b:7000", Address(BOTH)),
        ("sentinel://a:26379;sentinel://b:7000/3", Address(BOTH, db=3)),
        ("sentinel://me:p%40w@a,b:7000/3", Address(BOTH, db=3, username="me", password="p@w")),
        ("sentinel://:pw@a/1;SENTINEL://:pw@b:7000/1", Address(BOTH, db=1, password="pw")),
        ("sentinel://a;:pw@b:7000", Address(BOTH, password="pw")),
        ("sentinel://[::1]:5,b:7000/?master_name=m", Address((("::1", 5), BOTH[1]), master_name="m")),
        (
            "sentinel://a?sentinel_username=u&sentinel_password=p%26",
            Address(BOTH[:1], login={"username": "u", "password": "p&"}),
        ),
    ],
)
def test_all_forms_of_the_url_are_read(url: str, says: Address) -> None:
    assert parse(url) == says
    check_url(url)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sentinel://", "is not a valid URL"),
        ("sentinel://a,", "is not a valid URL"),
        ("sentinel://a/first", "is not a valid URL"),
        ("sentinel://a:port", "is not a valid URL"),
        ("sentinel://[::1", "is not a valid URL"),
        *((f"sentinel://:hun{one}ter2@a,b", "is not a valid URL") for one in ",/?#@;"),
        ("sentinel://a,:hunter2@b", "is not a valid URL"),
        ("sentinel://a?sentinel_password=hun;ter2", "is not a valid URL"),
        ("sentinel://:hunter2@a;sentinel://:terhun2@b", "several logins"),
        ("sentinel://a/1;sentinel://b/2", "several databases"),
        ("sentinel://a?mastername=x", "'mastername' that is not known; there are master_name"),
        ("sentinel://:hunter2@a?ssl_ca_certs=x", "not supported with Sentinel; use rediss://"),
    ],
)
def test_what_is_wrong_with_it_is_named_without_its_password(url: str, words: str) -> None:
    for reader in (check_url, celery_app):
        with pytest.raises(UsageError, match="broker sentinel://") as caught:
            reader(url)
        assert words in str(caught.value)
        assert not any(piece in str(caught.value) for piece in ("hun", "ter2"))


def test_flower_logs_in_to_sentinels_that_a_file_names(tmp_path: Path) -> None:
    url = "sentinel://a?sentinel_password=hunter2"
    (tmp_path / "url").write_text(url)
    assert broker_options(str(tmp_path / "url")) == broker_options(url) == {"sentinel_kwargs": {"password": "hunter2"}}


def test_kombu_is_not_told_what_it_would_show() -> None:
    with celery_app("sentinel://:hunter2@a;sentinel://:hunter2@b?sentinel_password=terhun2").connection() as connection:
        shown = connection.info()
    assert shown.pop("password") == "hunter2", "Celery takes it out"
    assert not any(word in str(shown) for word in ("hunter2", "terhun2"))
