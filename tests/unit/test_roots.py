"""`--map`: the producer's folders under the names that they have here."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import UsageError
from worker.reading.roots import Roots


def test_the_longest_folder_that_fits_counts(tmp_path: Path) -> None:
    for name in ("all", "new"):
        (tmp_path / name).mkdir()
    roots = Roots.parse("", f"/data={tmp_path}/all/, /data/2025={tmp_path}/new")
    here = bytes(tmp_path)
    assert roots.find(b"/data", b"a/\xff.jpg") == (here + b"/all", b"a/\xff.jpg")
    assert roots.find(b"/data/2025", b"a.jpg") == (here + b"/new", b"a.jpg")
    assert roots.find(b"/", b"data/2025/a.jpg") == (here + b"/new", b"a.jpg"), "a list's root may lie above"
    assert roots.find(b"/data2", b"a.jpg") == (b"/data2", b"a.jpg"), "another folder, though it begins alike"


def test_a_mirror_of_a_bucket(tmp_path: Path) -> None:
    roots = Roots.parse("", f"s3://bucket/in={tmp_path}")
    assert roots.find(b"s3://bucket", b"in/a/1.jpg") == (bytes(tmp_path), b"a/1.jpg")
    assert roots.find(b"s3://bucket", b"/in/1.jpg") == (b"s3://bucket", b"/in/1.jpg"), "a name may begin with a slash"


def test_without_a_map_all_is_where_it_is() -> None:
    assert Roots.parse("", "").find(b"/data", b"a.jpg") == (b"/data", b"a.jpg")


@pytest.mark.parametrize("text", ["/data", "data=/tmp", "/data=tmp", "=", "/data=/nowhere/at/all"])
def test_what_makes_no_sense_is_refused_and_named(text: str) -> None:
    with pytest.raises(UsageError, match=f"--map {text}: "):
        Roots.parse("", text)
