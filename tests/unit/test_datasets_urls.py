"""URLs as datasets, as far as no server is needed for it: their one form, their root, lists of them, index pages."""

from __future__ import annotations

import fsspec
import pytest

from common.datasets import Choosing, ListingCounts, fetch, glance, open_dataset
from common.errors import ItemCode, ItemError, UsageError
from common.storage.http import links_below
from common.storage.urls import canonical, to_send


@pytest.mark.parametrize(
    ("given", "form", "sent"),
    [
        (b"HTTPS://Host/A%20b.jpg", b"https://host/A b.jpg", "https://host/A%20b.jpg"),
        (b"https://host/%C3%A9.jpg", "https://host/é.jpg".encode(), "https://host/%C3%A9.jpg"),
        (b"https://host/%ff.jpg", b"https://host/\xff.jpg", "https://host/%FF.jpg"),
        (b"https://host/a%2Bb%3Fc%25%2F.jpg", b"https://host/a%2Bb%3Fc%25%2F.jpg", "https://host/a%2Bb%3Fc%25%2F.jpg"),
        (b"https://host/a.jpg?s=%2F%3D&t=+", b"https://host/a.jpg?s=%2F%3D&t=+", "https://host/a.jpg?s=%2F%3D&t=+"),
        (b" s3://bucket/a%20b//..\r", b"s3://bucket/a%20b//..", None),
    ],
)
def test_one_form_for_one_object_and_a_signature_stays_whole(given: bytes, form: bytes, sent: str | None) -> None:
    assert canonical(given) == form == canonical(form)
    assert sent is None or to_send(form) == sent


@pytest.mark.parametrize(
    "url", ["https://me:secret@host/a.jpg", "file:///tmp/a.jpg", "s3://", "foo://x/", "s3://*/a.jpg"]
)
def test_what_is_refused_is_named_without_its_password(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_dataset([url])
    assert "secret" not in str(caught.value) and url.partition("://")[0] in str(caught.value)


def test_an_index_page_without_its_noise() -> None:
    page = b"""<h1>Index of /a</h1> http://host/a/text.jpg
    <a href="?C=N;O=D">Name</a> <a href="../">Parent</a> <a href="/">root</a> <a href="/a/">self</a>
    <a href="#top">up</a>
    <a href="x.jpg">x</a> <A HREF='/a/y%20z.jpg'>y</A> <a href="sub/">sub</a> <a href="sub/deep.jpg">too deep</a>
    <a href="http://host/a/w&amp;v.jpg">w</a> <a href="http://other/a/no.jpg">no</a> <a href="mailto:x">m</a>
    <a href="//[bad">bad</a> <a name="none">none</a> <a href="x.jpg?v=1">query</a> <a href="/ab/no.jpg">beside</a>"""
    assert links_below("http://host/a/", page) == [b"x.jpg", b"y z.jpg", b"sub/", b"w&v.jpg"]


def test_a_list_of_urls_from_many_hosts(tmp_path) -> None:
    names = ["https://b.org/2.jpg", "https://a.com/x/1.jpg?sig=%2F", "https://b.org/2.jpg", "https://b.org/nothing"]
    (tmp_path / "list.txt").write_text("\r\n".join(names))
    dataset = open_dataset([str(tmp_path / "list.txt")])
    assert [item.path for item in dataset.items()] == [b"a.com/x/1.jpg?sig=%2F", b"b.org/2.jpg", b"b.org/nothing"]
    assert (dataset.root, dataset.counts.repeated) == (b"https://", 1)


@pytest.mark.parametrize(
    ("lines", "kinds"),
    [
        (["/tmp/a.jpg", "s3://b/a.jpg"], "local paths and s3://"),
        (["http://h/a", "https://h/a"], "http:// and https://"),
    ],
)
def test_two_kinds_in_one_run_are_refused(lines: list[str], kinds: str, tmp_path) -> None:
    (tmp_path / "list.txt").write_text("\n".join(lines))
    with pytest.raises(UsageError, match=kinds):
        open_dataset([str(tmp_path / "list.txt")])


def test_a_folder_may_have_a_colon_in_its_name(tmp_path) -> None:
    (tmp_path / "s3:" / "b").mkdir(parents=True)
    (tmp_path / "s3:" / "b" / "a.jpg").touch()
    dataset = open_dataset([f"{tmp_path}/s3:"])
    assert [item.path for item in dataset.items()] == [b"b/a.jpg"]


def test_whatever_else_fsspec_lists_and_reads() -> None:
    files = fsspec.filesystem("memory")
    names = ["a.jpg", "a/1.jpg", "a-b/1.jpg", "note.md", ".x/1.jpg"]
    for name in names:
        files.pipe(f"/pile/{name}", name.encode())
    try:
        for given in ("memory://pile/", "memory://pile"):
            dataset = open_dataset([given])
            assert [item.path for item in dataset.items()] == [b"a-b/1.jpg", b"a.jpg", b"a/1.jpg"]
            assert dataset.root == b"memory://pile"
            assert dataset.counts == ListingCounts(items=3, hidden=1, not_images=1)
        assert [item.path for item in open_dataset(["memory://pile/a*/*.jpg"]).items()] == [b"a-b/1.jpg", b"a/1.jpg"]
        assert fetch(b"memory://pile", b"a/1.jpg") == b"a/1.jpg" == glance(b"memory://pile/a/1.jpg")
        with pytest.raises(ItemError) as caught:
            fetch(b"memory://pile", b"gone.jpg")
        assert caught.value.code is ItemCode.NOT_FOUND and glance(b"memory://pile/gone.jpg") is None
        with pytest.raises(ItemError) as caught:
            fetch(b"memory://pile", b"a")
        assert caught.value.code is ItemCode.NOT_A_FILE
    finally:
        files.rm("/pile", recursive=True)


def test_a_list_at_a_url_is_kept_and_not_asked_for_again() -> None:
    files = fsspec.filesystem("memory")
    files.pipe({"/lists/all.txt": b"a.jpg,cat\n/x/b.jpg,dog\n", "/lists/dir.txt/c.jpg": b"x", "/lists/a.jpg": b"x"})
    try:
        dataset = open_dataset(["memory://lists/all.txt", "memory://lists/dir.txt"])
        assert dataset.paths == ("memory://lists/all.txt", "memory://lists/dir.txt/"), "a folder is no list on resume"
        found = list(dataset.items())
        files.rm("/lists/all.txt")
        assert list(open_dataset(dataset.paths, choice=Choosing(kept=dataset.listed)).items()) == found
        assert len(found) == 3
    finally:
        files.rm("/lists", recursive=True)
