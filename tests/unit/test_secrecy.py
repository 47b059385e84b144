"""What is taken out of words before anybody reads them, and what stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.datasets import open_dataset
from common.errors import BrokerError, line_of
from common.redaction import is_signed, redact


@pytest.mark.parametrize(
    "text",
    [
        "https://me:hunter2@host/a.jpg cannot be read",
        "https://hunter2@host/a.jpg",
        "https://bucket.example/a.jpg?X-Amz-Date=1&X-Amz-Signature=hunter2&x=1",
        "https://bucket.example/a.jpg?x-goog-signature=hunter2",
        "https://host/a.jpg?sv=1&sig=hunter2",
        "two: redis://:hunter2@a/0 and redis://:hunter2@b/0",
        "https://host/a.jpg?access_token=hunter2#x",
        "sentinel://:hunter2@a:1;sentinel://:hunter2@b:1/0 is not there",
        "sentinel://a:1,b:1/0?master_name=m&sentinel_password=hunter2",
        *(
            f"https://host/a.jpg?x=1&{name}=hunter2"
            for name in ("Subscription-Key", "access_key", "x-api-key", "code", "jwt", "sas", "session", "%73i%67")
        ),
    ],
)
def test_secrets_are_taken_out_and_the_place_stays(text: str) -> None:
    shown = redact(text)
    assert "hunter2" not in shown and "***" in shown
    assert line_of(BrokerError(text)) == shown


@pytest.mark.parametrize(
    "text",
    [
        "https://host/a.jpg?page=3",
        "https://host/a.jpg?monkey=1&zipcode=2&%73ize=3",
        "redis://host:6379/0 does not answer",
        "a@b.jpg is empty",
        "s3://b/key=1/a.jpg",
    ],
)
def test_other_words_stay_as_they_are(text: str) -> None:
    assert redact(text) == text and not is_signed(text.encode())


def test_a_signed_url_in_a_list_is_found(tmp_path: Path) -> None:
    pages = tmp_path / "list.txt"
    pages.write_text("https://host/a.jpg?page=1\nhttps://host/b.jpg?sig=hunter2\n")
    assert open_dataset([str(pages)]).signed() == "https://host/b.jpg?sig=hunter2"
    pages.write_text("https://host/a.jpg?page=1\n")
    assert open_dataset([str(pages)]).signed() is None
    # A file may be called anything.
    (tmp_path / "a?sig=1.jpg").write_bytes(b"")
    assert open_dataset([str(tmp_path)]).signed() is None
