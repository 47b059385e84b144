"""Folders, globs, files and lists in; items in order, each once, and the counts of what was passed over, out."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.datasets import Choosing, ListingCounts, display_path, open_dataset, pack_path, unpack_path
from common.datasets.files import absolute
from common.errors import UsageError
from common.limits import MAX_PATH_BYTES


def touch(root: Path, *names: str | bytes) -> Path:
    for name in names:
        path = root / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return root


def listed(*paths: object, cwd: Path | None = None, stdin: bytes = b"") -> list[bytes]:
    dataset = open_dataset([str(path) for path in paths], cwd, io.BytesIO(stdin))
    found = [item.path for item in dataset.items()]
    assert found == sorted(set(found))
    assert found == [item.path for item in dataset.items()]
    assert dataset.counts.items == len(found)
    return found


def refusal(*paths: object, cwd: Path | None = None, stdin: bytes = b"") -> str:
    with pytest.raises(UsageError) as caught:
        list(open_dataset([str(path) for path in paths], cwd, io.BytesIO(stdin)).items())
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_folder_is_walked_in_the_order_of_whole_paths(tmp_path):
    touch(tmp_path, "a/z.jpg", "a.jpg", "a/b/1.png", "a-b/1.jpg", "B.JPG", "a0.jpeg", "a/b.png")

    assert listed(tmp_path) == [
        b"B.JPG", b"a-b/1.jpg", b"a.jpg", b"a/b.png", b"a/b/1.png", b"a/z.jpg", b"a0.jpeg",
    ]  # fmt: skip


@settings(max_examples=25, derandomize=True, deadline=None, database=None)
@given(st.sets(st.lists(st.sampled_from(["a", "a.b", "a-", "b", "0", "é"]), min_size=1, max_size=4).map("/".join)))
def test_the_order_is_that_of_bytes_for_any_tree(tmp_path_factory, folders):
    root = touch(tmp_path_factory.mktemp("tree"), "x.jpg", *(f"{folder}/{i}.jpg" for folder in folders for i in (1, 2)))
    expected = sorted(os.fsencode(path.relative_to(root)) for path in root.rglob("*.jpg"))

    assert listed(root) == expected


def test_what_is_passed_over_is_counted(tmp_path):
    touch(tmp_path, "a.jpg", "notes.md", "noext", ".hidden.jpg", ".git/a.jpg", ".git/b.jpg", "sub/labels.csv", "jpg")
    dataset = open_dataset([str(tmp_path)])

    assert [item.path for item in dataset.items()] == [b"a.jpg"]
    assert dataset.counts == ListingCounts(items=1, hidden=2, not_images=4)


def test_one_stem_in_two_folders_and_two_suffixes_are_four_items(tmp_path):
    touch(tmp_path, "x/a.jpg", "y/a.jpg", "a.jpg", "a.png")

    assert listed(tmp_path) == [b"a.jpg", b"a.png", b"x/a.jpg", b"y/a.jpg"]


def test_links_to_folders_are_followed_but_not_into_a_loop(tmp_path):
    touch(tmp_path, "data/a.jpg", "data/sub/b.jpg", "other/c.jpg")
    (tmp_path / "data/sub/up").symlink_to(tmp_path / "data")
    (tmp_path / "data/sub/here").symlink_to(".")
    (tmp_path / "data/self").symlink_to("self")
    (tmp_path / "data/other").symlink_to("../other")
    dataset = open_dataset([str(tmp_path / "data")])

    assert [item.path for item in dataset.items()] == [b"a.jpg", b"other/c.jpg", b"sub/b.jpg"]
    assert dataset.counts == ListingCounts(items=3, link_loops=3)


def test_a_link_to_nothing_is_an_item_that_will_fail(tmp_path):
    touch(tmp_path, "a.jpg")
    (tmp_path / "b.jpg").symlink_to("gone.jpg")

    assert listed(tmp_path) == [b"a.jpg", b"b.jpg"]


STRANGE = [b"new\nline.jpg", b"com,ma.jpg", b"quo\"te's.jpg", "emoji \N{EYES}.jpg".encode(), b"\xff\xfe.jpg", b" .jpg"]


def test_strange_names_are_kept_as_they_are(tmp_path):
    touch(tmp_path, *STRANGE)

    assert listed(tmp_path) == sorted(STRANGE)
    names = touch(tmp_path, "names.list") / "names.list"
    names.write_bytes(b"\0".join(STRANGE))
    assert listed(names) == sorted(STRANGE)


@pytest.mark.parametrize("path", [*STRANGE, b"plain.jpg"])
def test_paths_go_through_text_and_back(path):
    assert unpack_path(pack_path(path)) == path
    display_path(path).encode("utf-8")


def test_display_path_escapes_what_is_not_utf8():
    assert display_path(b"a\xff/\xc3\xa9.jpg") == "a\\xff/\N{LATIN SMALL LETTER E WITH ACUTE}.jpg"


def test_named_files_are_taken_whatever_their_name(tmp_path):
    touch(tmp_path, "a.dat", ".b", "sub/c.jpg")

    assert listed("sub/c.jpg", "a.dat", ".b", cwd=tmp_path) == [b".b", b"a.dat", b"sub/c.jpg"]
    assert listed("sub/c.jpg", cwd=tmp_path) == [b"c.jpg"]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"b.jpg\na.jpg\n", [b"a.jpg", b"b.jpg"]),
        (b"\r\nsub/b.jpg\r\n\r\na.jpg", [b"a.jpg", b"sub/b.jpg"]),
        (b"\xef\xbb\xbf./a.jpg\n  \nsub/../b.jpg\n", [b"a.jpg", b"b.jpg"]),
        (b"# no comment\nx", [b"# no comment", b"x"]),
        (b"a\nb.jpg\0c.jpg\0", [b"a\nb.jpg", b"c.jpg"]),
        (b"n\xe9.jpg\nx.jpg", [b"n\xe9.jpg", b"x.jpg"]),
    ],
)
@pytest.mark.parametrize("there", [all, any])
def test_a_list_is_relative_to_its_folder_and_needs_not_all_files(tmp_path, content, found, there):
    touch(tmp_path / "lists", *(found if there is all else found[:1]))
    (tmp_path / "lists" / "train.txt").write_bytes(content)

    assert listed("lists/train.txt", cwd=tmp_path) == found
    assert open_dataset(["lists/train.txt"], tmp_path).root == os.fsencode(tmp_path / "lists")


def test_a_list_on_stdin_is_relative_to_the_working_folder_and_can_be_kept(tmp_path):
    touch(tmp_path, "b.jpg")
    dataset = open_dataset(["-"], tmp_path, io.BytesIO(b"b.jpg\nsub/a\xff.jpg\nb.jpg\n"))
    items = list(dataset.items())

    assert dataset.paths == ("-",)
    assert [item.path for item in items] == [b"b.jpg", b"sub/a\xff.jpg"]
    again = open_dataset(dataset.paths, Path("/"), choice=Choosing(kept=dataset.listed))
    assert (again.root, list(again.items()), again.counts) == (dataset.root, items, dataset.counts)


def test_a_dataset_opens_again_from_its_absolute_paths(tmp_path):
    touch(tmp_path / "w[1]", "a.jpg", "sub/b.jpg", "sub/c.png")
    dataset = open_dataset(["a.jpg", "sub/*.jpg"], tmp_path / "w[1]")

    assert [item.path for item in open_dataset(dataset.paths, Path("/")).items()] == [b"a.jpg", b"sub/b.jpg"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.jpg", [b"a.jpg"]),
        ("**/*.jpg", [b"a.jpg", b"x/b.jpg", b"x/y/c.jpg", b"z/e.jpg"]),
        ("x/**", [b"b.jpg", b"y/c.jpg", b"y/d.png"]),
        ("[xz]/*.jpg", [b"x/b.jpg", b"z/e.jpg"]),
        ("?/y", [b"x/y/c.jpg", b"x/y/d.png"]),
        ("x/*/c.jpg", [b"y/c.jpg"]),
        ("*", [b"a.jpg", b"x/b.jpg", b"x/y/c.jpg", b"x/y/d.png", b"z/e.jpg"]),
        ("./x/../x/y/*.png", [b"d.png"]),
    ],
)
def test_globs(tmp_path, pattern, found):
    touch(tmp_path, "a.jpg", "x/b.jpg", "x/y/c.jpg", "x/y/d.png", "x/y/e.md", "z/e.jpg", ".h/a.jpg", ".i.jpg")

    assert listed(pattern, cwd=tmp_path) == found


def test_a_name_with_wildcards_in_it_is_itself_first(tmp_path):
    touch(tmp_path, "a[1].jpg", "a1.jpg", "[b]/c.jpg")

    assert listed("a[1].jpg", cwd=tmp_path) == [b"a[1].jpg"]
    assert listed("[b]", cwd=tmp_path) == [b"c.jpg"]


def test_several_paths_share_a_root_and_a_repeated_path_is_one_item(tmp_path):
    touch(tmp_path, "x/a.jpg", "x/b.jpg", "x/y/c.jpg", "x-z/d.jpg", "w/e.jpg", "x/.h/f.jpg", "w/g.txt")
    (tmp_path / "w/g.txt").write_text("../x/a.jpg\ne.jpg\n")
    dataset = open_dataset(["x", "x/", "x/y", "x/.h", "x-z", "x/b.jpg", "w/g.txt"], tmp_path)

    assert [item.path for item in dataset.items()] == [
        b"w/e.jpg", b"x-z/d.jpg", b"x/.h/f.jpg", b"x/a.jpg", b"x/b.jpg", b"x/y/c.jpg",
    ]  # fmt: skip
    assert dataset.root == os.fsencode(tmp_path)
    assert dataset.counts.repeated == 6


def test_two_dots_are_where_the_system_says(tmp_path):
    touch(tmp_path, "real/deep/x", "real/a.jpg", "a.jpg")
    (tmp_path / "link").symlink_to("real/deep")
    here = os.fsencode(tmp_path)

    assert absolute(b"link/../a.jpg", here) == here + b"/real/a.jpg"
    assert absolute(b"real//./deep/", here) == here + b"/real/deep"
    assert absolute(b"a/..b.jpg", here) == here + b"/a/..b.jpg"
    assert absolute(b"//x", here) == b"/x"


def test_refusals_name_the_path_and_the_reason(tmp_path):
    touch(tmp_path, "docs/a.md", "docs/.b.jpg", "nothing.txt", "wide.txt")
    (tmp_path / "empty").mkdir()
    (tmp_path / "nothing.txt").write_bytes(b"\n \n")
    (tmp_path / "wide.txt").write_bytes("a.jpg\n".encode("utf-16")[:-1])
    (tmp_path / "gone").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")

    for path, words in {
        "missing": "'missing' does not exist",
        "empty": "'empty' is empty",
        "docs": "holds no images (1 other file (1 .md), 1 hidden): taken are apng, avif",
        "nothing.txt": "names no files",
        "wide.txt": "UTF-16",
        "gone": "link to nothing",
        "pipe": "neither a folder nor a file",
        "*.jpg": "matches no image",
        "no/where/*.jpg": "matches no image",
        "a\0b": "cannot be opened",
    }.items():
        assert words in refusal(path, cwd=tmp_path)
    assert "no dataset" in refusal()
    assert "standard input" in refusal("-", stdin=b"")


def test_a_path_that_is_too_long_is_refused(tmp_path):
    names = tmp_path / "names.txt"
    names.write_bytes(b"a.jpg\n" + b"d/" * (MAX_PATH_BYTES // 2) + b"b.jpg\n")

    assert f"at most {MAX_PATH_BYTES}" in refusal(names)
