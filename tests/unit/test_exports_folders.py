"""YOLO and VOC: one file an image, in the dataset's own folders, whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from xml.etree import ElementTree

import pytest

from common.errors import UsageError
from jobs.detect.exports import export
from jobs.detect.exports.stems import stem
from jobs.detect.selection import View
from tests.unit.tabled import LABELS, failed, ok, pending, run, spec

BOX = (64.0, 48.0, 192.0, 144.0)


def folder_of(format: str, run_dir: Path, destination: Path | None = None) -> Path:
    (folder,) = export(format, run_dir, spec(), View.of(spec()), destination).paths
    return folder


def files(folder: Path) -> list[str]:
    return sorted(os.fsdecode(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file())


def test_yolo_mirrors_the_folders(tmp_path: Path) -> None:
    rows = [
        ok(0, b"one/a.jpg", (2, 0.5, *BOX), (0, 0.4, *BOX)),
        ok(1, b"two/a.jpg"),
        ok(2, b"two/b.tar.\xff.png", (1, 0.9, *BOX)),
        failed(3, b"two/c.jpg"),
        pending(4, b"two/d.jpg"),
        ok(5, b"classes.jpg"),
    ]
    run(tmp_path, rows)
    folder = folder_of("yolo", tmp_path)
    bad = os.fsdecode(b"labels/two/b.tar.\xff.txt")
    assert files(folder) == sorted(["classes.txt", "labels/classes.txt", "labels/one/a.txt", "labels/two/a.txt", bad])
    assert (folder / "classes.txt").read_text().splitlines() == list(LABELS)
    assert (folder / "labels/one/a.txt").read_text() == (
        "2 0.200000 0.200000 0.200000 0.200000 0.500000\n0 0.200000 0.200000 0.200000 0.200000 0.400000\n"
    )
    assert (folder / "labels/two/a.txt").read_bytes() == b""


def test_a_second_export_replaces_the_first_whole(tmp_path: Path) -> None:
    run(tmp_path, [ok(0, b"old.jpg")])
    folder_of("yolo", tmp_path)
    run(tmp_path, [ok(0, b"new.jpg")])
    assert files(folder_of("yolo", tmp_path)) == ["classes.txt", "labels/new.txt"]


def test_voc_counts_pixels_from_one_with_both_ends_inside(tmp_path: Path) -> None:
    boxes = [(0, 0.9, 0.0, 0.0, 640.0, 480.0), (1, 0.8, 10.4, 20.6, 30.4, 40.6), (2, 0.7, 639.9, 479.9, 640.0, 480.0)]
    run(tmp_path, [ok(0, b"x/a&b<\x01>.jpg", *boxes), ok(1, b"empty.jpg"), failed(2, b"c.jpg")])
    folder = folder_of("voc", tmp_path)
    assert files(folder) == ["empty.xml", "x/a&b<\x01>.xml"]
    root = ElementTree.parse(folder / "x/a&b<\x01>.xml").getroot()
    assert (root.findtext("folder"), root.findtext("filename")) == ("x", "a&b<\\x01>.jpg")
    assert (root.findtext("size/width"), root.findtext("size/height")) == ("640", "480")
    corners = [
        [int(o.findtext(f"bndbox/{t}", "")) for t in ("xmin", "ymin", "xmax", "ymax")] for o in root.iter("object")
    ]
    assert corners == [[1, 1, 640, 480], [11, 22, 30, 41], [640, 480, 640, 480]]
    assert [o.findtext("name") for o in root.iter("object")] == list(LABELS)
    assert not list(ElementTree.parse(folder / "empty.xml").iter("object"))


@pytest.mark.parametrize("format", ["yolo", "voc"])
def test_one_stem_in_one_folder_names_both_and_writes_nothing(tmp_path: Path, format: str) -> None:
    paths = [b"a.jpg", b"a/a.jpg", b"a/b.c.jpg", b"a/b.jpg", b"a/b.png", b"b/a.jpg"]
    run(tmp_path, [ok(item, path) for item, path in enumerate(paths)])
    with pytest.raises(UsageError, match=r"a/b\.jpg and a/b\.png would be one file"):
        folder_of(format, tmp_path)
    assert not (tmp_path / format).exists()


def test_a_folder_of_the_users_is_never_replaced(tmp_path: Path) -> None:
    run(tmp_path / "run", [ok(0, b"a.jpg")])
    mine = tmp_path / "mine"
    mine.mkdir()
    assert files(folder_of("yolo", tmp_path / "run", mine)) == ["classes.txt", "labels/a.txt"]
    (mine / "precious").write_text("x")
    with pytest.raises(UsageError, match="not an empty folder; name a new one"):
        folder_of("voc", tmp_path / "run", mine)
    assert (mine / "precious").exists()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"a.jpg", b"a"),
        (b"x.y/a", b"x.y/a"),
        (b"x/.jpg", b"x/.jpg"),
        (b"x/a.b.png", b"x/a.b"),
        (b"..png", b"..png"),
    ],
)
def test_a_stem_is_the_path_without_its_last_ending(path: bytes, expected: bytes) -> None:
    assert stem(path) == expected == os.path.splitext(path)[0]  # noqa: PTH122
