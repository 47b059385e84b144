"""Tests that leftovers, run directories and what --exclude names are no part of a dataset, and are counted."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common import folder_tree
from common.atomic_files import atomic_folder
from common.datasets import Choosing, Dataset, ListingCounts, open_dataset, passed_over
from common.datasets.pattern import Pattern
from common.errors import UsageError
from jobs.detect.exports.folder_tree import write_beside
from producer.results.publish import _Target as Target
from producer.rundir.journal import Journal
from producer.rundir.manifest import Manifest
from producer.rundir.run_directory import RunDir
from tests.unit.test_datasets_lists import items, touch


def without(path: object, *patterns: str, cwd: Path | None = None) -> Dataset:
    return open_dataset([str(path)], cwd, choice=Choosing(exclude=patterns))


def refusal(*paths: object, cwd: Path, exclude: tuple[str, ...] = ()) -> str:
    with pytest.raises(UsageError) as caught:
        list(open_dataset([str(path) for path in paths], cwd, choice=Choosing(exclude=exclude)).items())
    assert "\n" not in str(caught.value)
    return str(caught.value)


LEFT = [
    *("@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg", "#recycle/b.jpg", "#snapshot/b.jpg", "lost+found/c.jpg", "Thumbs.db"),
    *("$RECYCLE.BIN/d.jpg", "System Volume Information/e.jpg", "__MACOSX/x/f.jpg", "@Recently-Snapshot/g.jpg"),
    *("@Recycle/h.jpg", "x/@eaDir/i.jpg", "desktop.ini", "LOST.DIR/j.jpg"),
]
HIDDEN = [".Trash-1000/k.jpg", ".Trashes/l.jpg", "._a.jpg", ".AppleDouble/m.jpg", ".@__thumb/n.jpg", ".DS_Store"]


def test_leftovers_of_other_systems_are_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "x/b.jpg", *LEFT, *HIDDEN)

    dataset = open_dataset([str(tmp_path)])
    assert items(dataset) == [b"a.jpg", b"x/b.jpg"]
    assert dataset.counts == ListingCounts(items=2, hidden=len(HIDDEN), leftovers=len(LEFT))
    assert items(open_dataset(["**/*.jpg"], tmp_path)) == [b"a.jpg", b"x/b.jpg"]


def test_leftovers_that_the_user_names_are_taken(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "@eaDir/b.jpg", "x/#recycle/c.jpg", "x/@eaDir/d.jpg")
    (tmp_path / "list.txt").write_text("a.jpg\n@eaDir/b.jpg\n")

    assert items(open_dataset(["@eaDir"], tmp_path)) == [b"b.jpg"]
    assert items(open_dataset(["*/#recycle/*.jpg"], tmp_path)) == [b"x/#recycle/c.jpg"]
    assert items(open_dataset(["list.txt"], tmp_path)) == [b"@eaDir/b.jpg", b"a.jpg"]
    thumbnails = "1 thumbnail or system file (@eaDir, Thumbs.db, ...)"
    assert f"holds no images ({thumbnails})" in refusal("only", cwd=touch(tmp_path, "only/@eaDir/e.jpg"))


def test_run_directories_are_no_dataset(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "runs/20261127-000000-abcdefgh")
    touch(run.path, "preview.jpg", "drawn/a.jpg")
    run.write({"state": "running"})
    Manifest(run.manifest)
    Journal(run.journal, 0).close()
    touch(tmp_path, "a.jpg", "data/manifest/b.jpg", "data/run.json", "copy/preview.jpg", "copy/yolo/x.png")
    touch(tmp_path, "copy/run.json", "copy/images.parquet", "copy/detections.parquet")
    touch(tmp_path, "half/images.parquet", "half/detections.parquet", "half/preview.jpg")

    dataset = open_dataset([str(tmp_path)])
    assert items(dataset) == [b"a.jpg", b"data/manifest/b.jpg"]
    assert dataset.counts.run_dirs == 3
    assert "folder 'copy' is the directory of a run, and no dataset" in refusal("copy", cwd=tmp_path)
    assert "holds no images (1 run directory)" in refusal("runs", cwd=tmp_path)
    assert "matches no image (1 run directory)" in refusal("runs/*/*.jpg", cwd=tmp_path)
    with pytest.raises(UsageError, match="the dataset's path is empty"):
        open_dataset([""], tmp_path)
    assert items(open_dataset(["copy/preview.jpg"], tmp_path)) == [b"preview.jpg"], "who names it has it"


def test_a_bucket_is_sieved_in_the_same_way() -> None:
    files = fsspec.filesystem("memory")
    names = ["a.jpg", "b/@eaDir/b.jpg", "b/c.jpg", "b/c.png", "r/detections.parquet", "r/images.parquet"]
    for name in [*names, "r/preview.jpg", "r/run.json", "preview.jpg", "#recycle/d.jpg", "x/y/e.jpg"]:
        files.pipe(f"/sieve/{name}", b"x")
    try:
        dataset = without("memory://sieve/", "*.png", "x/y/")
        assert items(dataset) == [b"a.jpg", b"b/c.jpg", b"preview.jpg"]
        counts = dataset.counts
        assert (counts.leftovers, counts.run_dirs, counts.excluded) == (2, 1, 2)
        assert items(open_dataset(["memory://sieve/*/@eaDir/*"])) == [b"b/@eaDir/b.jpg"]
    finally:
        files.rm("/sieve", recursive=True)


@pytest.mark.parametrize(
    ("pattern", "gone"),
    [
        ("b.jpg", ["b.jpg", "x/b.jpg"]),
        ("*.png", ["x/y/c.png"]),
        ("x", ["x/b.jpg", "x/y/c.png", "x/y/d.jpg"]),
        ("x/", ["x/b.jpg", "x/y/c.png", "x/y/d.jpg"]),
        ("b.jpg/", []),
        ("x/*.jpg", ["x/b.jpg"]),
        ("x/**/*.jpg", ["x/b.jpg", "x/y/d.jpg"]),
        ("/x/b.jpg", ["x/b.jpg"]),
        ("./x/y/", ["x/y/c.png", "x/y/d.jpg"]),
        ("y/*", []),
        ("**/y/*", ["x/y/c.png", "x/y/d.jpg"]),
        ("[ab].jpg", ["a.jpg", "b.jpg", "x/b.jpg"]),
        ("X", []),
        ("~/x/y", ["x/y/c.png", "x/y/d.jpg"]),
    ],
)
def test_exclude(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str, gone: list[str]) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "set"))
    every = ["a.jpg", "b.jpg", "x/b.jpg", "x/y/c.png", "x/y/d.jpg"]
    folder = touch(tmp_path / "set", *every)
    (tmp_path / "list.txt").write_text("".join(f"set/{name}\n" for name in every))
    left = sorted(name.encode() for name in every if name not in gone)

    for given_path in (folder, f"{folder}/**", tmp_path / "list.txt"):
        dataset = without(given_path, pattern)
        assert items(dataset) == left == items(dataset)
        counts = dataset.counts
        assert (counts.excluded > 0, counts.unmatched) == (bool(gone), () if gone else (pattern,))
    assert items(without(folder, str(folder / "x"))) == [b"a.jpg", b"b.jpg"], "a whole path does too"


def test_exclude_takes_names_with_a_tilde_and_what_is_passed_over_anyway(tmp_path: Path) -> None:
    names = ["a.jpg", "~$a.jpg", "~x/b.jpg", "@eaDir/c.jpg", ".h/d.jpg", "m\u00fc.jpg"]
    folder = touch(tmp_path, *names)

    assert items(without(folder, "~*")) == [b"a.jpg", "m\u00fc.jpg".encode()]
    assert items(without(folder, "~$*")) == [b"a.jpg", "m\u00fc.jpg".encode(), b"~x/b.jpg"]
    assert items(without(folder, "~*/b.jpg")) == items(without(folder, "./~x/b.jpg"))
    assert items(without(folder, "~x/")) == [b"a.jpg", "m\u00fc.jpg".encode(), b"~$a.jpg"]
    with pytest.raises(UsageError, match=r"--exclude: .*there is no user 'nobody-of-this-name'"):
        without(folder, "~nobody-of-this-name/a.jpg")
    dataset = without(folder, "@eaDir", ".h", "mu\u0308.jpg", "~*")
    assert items(dataset) == [b"a.jpg"]
    assert (dataset.counts.unmatched, dataset.counts.excluded, dataset.counts.hidden) == ((), 5, 0)


def test_exclude_holds_for_several_folders_and_named_files(tmp_path: Path) -> None:
    touch(tmp_path, "a/x/1.jpg", "a/2.jpg", "b/x/3.jpg", "b/4.jpg", "5.jpg")

    dataset = open_dataset(["a", "b", "5.jpg"], tmp_path, choice=Choosing(exclude=("b/x", "5*", "none")))
    assert items(dataset) == [b"a/2.jpg", b"a/x/1.jpg", b"b/4.jpg"]
    assert (dataset.counts.excluded, dataset.counts.unmatched) == (2, ("none",))


def test_exclusions_that_leave_nothing_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg", "a/2.jpg")

    assert "every image matches" in refusal("a", cwd=tmp_path, exclude=("*.jpg",))
    for nothing in ("", "/", "../a", "./"):
        assert f"--exclude {nothing!r} matches nothing: a pattern without / matches names" in refusal(
            "a", cwd=tmp_path, exclude=(nothing,)
        )


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("a.zip", "is an archive: unpack it"),
        ("a.tar.gz", "is an archive"),
        ("clip.MP4", "is a video"),
        ("a.json", "is no list of paths"),
        ("best.onnx", "give it with --detector"),
        ("{a,b}.jpg", "only the shell expands {a,b}: leave the quotes away"),
        ("*.{jpg,png}", "only the shell expands {a,b}: leave the quotes away"),
        ("*.JPEG", "upper and lower case"),
        ("photos ", "is 'photos' meant?"),
        ("C:\\photos", "is a path of Windows"),
        ("other", "holds no images (2 other files (1 .cr2, 1 .mov)): taken are"),
        ("~nobody-of-this-name", "no user 'nobody-of-this-name'"),
    ],
)
def test_what_people_give_that_is_no_dataset_is_refused_with_the_remedy(tmp_path: Path, path: str, words: str) -> None:
    touch(
        tmp_path, "a.zip", "a.tar.gz", "clip.MP4", "a.json", "best.onnx", "photos/a.jpeg", "other/a.cr2", "other/b.mov"
    )

    assert words in refusal(path, cwd=tmp_path)


def test_the_home_folder_of_a_dataset_and_a_folder_named_like_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    touch(tmp_path, "home/photos/a.jpg", "~/photos/b.jpg")

    assert items(open_dataset(["~/photos"], tmp_path)) == [b"a.jpg"]
    assert items(open_dataset(["~/*/*.jpg"], tmp_path)) == [b"photos/a.jpg"]
    assert items(open_dataset(["./~/photos"], tmp_path)) == [b"b.jpg"]


def test_other_files_are_told_by_their_endings(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "a.CR2", "b.cr2", "c.mov", "none", *(f"x.{number}" for number in range(300)))

    counts = open_dataset([str(tmp_path)])
    assert len(items(counts)) == 1
    found = counts.counts
    assert found.not_images == 304
    assert len(found.endings) == 5 and {".cr2": 2}.items() <= found.endings.items()
    listing = {"not_images": 4, "hidden": 1, "run_dirs": 1, "excluded": 3, "endings": {".heic": 2, "": 1}}
    words = "4 other files (2 .heic, 1 without an extension, 1 others), 1 hidden, 1 run directory, 3 excluded"
    assert passed_over.words(listing) == words
    assert passed_over.words({"items": 3, "hidden": 0}) == ""


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, bytes]]:
    """A folder and, from it on, the path of an image in more folders than Python calls functions within another.

    pytest itself cannot remove them.
    """
    folder, depth = tmp_path_factory.mktemp("x") / "deep", sys.getrecursionlimit() + 100
    folder.mkdir()
    here = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("a.jpg", os.O_CREAT, dir_fd=here))
    os.close(here)
    yield folder, b"d/" * depth + b"a.jpg"
    folder_tree.remove(folder)


def test_folders_lie_as_deep_as_the_system_allows(deep: tuple[Path, bytes]) -> None:
    folder, deepest = deep
    touch(folder, "b.jpg")

    assert items(open_dataset([str(folder)])) == [b"b.jpg", deepest]
    assert items(open_dataset(["**/d/**/*.jpg"], folder)) == [deepest]
    assert items(without(folder, "b.*", "x/**/y")) == [deepest]


def test_trees_of_any_depth_are_made_walked_published_and_removed(deep: tuple[Path, bytes], tmp_path: Path) -> None:
    _, deepest = deep
    with atomic_folder(tmp_path / "yolo") as folder:
        write_beside(folder, deepest, ".txt", b"0 1 1 1 1\n")
        write_beside(folder, b"b.jpg", ".txt", b"")
        with pytest.raises(UsageError, match=r"n{99,}\.\.\. cannot have a file of its stem .*--format coco"):
            write_beside(folder, b"n" * 255, ".txt", b"")
        with pytest.raises(UsageError, match=r"b\.txt/x\.jpg cannot have a file of its stem"):
            write_beside(folder, b"b.txt/x.jpg", ".txt", b"")
    name = os.fsdecode(deepest).replace(".jpg", ".txt")
    assert sorted(folder_tree.files(tmp_path / "yolo")) == ["b.txt", name]
    try:
        copy = Target.of(str(tmp_path / "out"))
        copy.put(tmp_path / "yolo" / name, name)
        assert (tmp_path / "out" / name).read_bytes() == b"0 1 1 1 1\n"
    finally:
        folder_tree.remove(tmp_path / "out")
        with atomic_folder(tmp_path / "yolo"):
            pass
    assert [*(tmp_path / "yolo").iterdir()] == [] and [one.name for one in tmp_path.iterdir()] == ["yolo"]


def slow_match(parts: tuple[str, ...], segments: tuple[str, ...]) -> bool:
    """What a pattern means, one word at a time."""
    if not segments:
        return True
    if not parts:
        return False
    if segments[0] == "**":
        return any(slow_match(parts[i:], segments[1:]) for i in range(len(parts)))
    return segments[0] in ("*", parts[0]) and slow_match(parts[1:], segments[1:])


NAMES = st.sampled_from("ab")


@settings(max_examples=200, derandomize=True, deadline=None, database=None)
@given(
    st.lists(st.lists(NAMES, min_size=1, max_size=5).map(tuple), min_size=1, max_size=6),
    st.lists(st.sampled_from(["a", "b", "*", "**"]), min_size=1, max_size=5).map(tuple),
)
def test_patterns_match_as_they_are_defined(paths: list[tuple[str, ...]], segments: tuple[str, ...]) -> None:
    pattern = Pattern(segments)
    for path in paths:
        for end in range(1, len(path)):
            folder = path[:end]
            if any(slow_match((*path[:end], *more), segments) for more in (path[end:], ("a",), ("b",))):
                assert pattern.enters("/".join(folder).encode())
        assert pattern.takes("/".join(path).encode()) is slow_match(path, segments)
