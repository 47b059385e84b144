"""The manifest: durable, numbered, and checked against the dataset on resume."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.errors import ManyeyesError, UsageError
from producer.rundir.manifest import SEGMENT_ITEMS, Manifest

PATHS = [b"%06d/\xff\n.jpg" % number for number in range(SEGMENT_ITEMS + 10)]


def test_items_are_read_back_by_number(tmp_path: Path) -> None:
    Manifest(tmp_path).append_all(PATHS)
    again = Manifest(tmp_path)
    assert again.complete and again.items == len(PATHS)
    assert list(again) == PATHS
    assert again.read(SEGMENT_ITEMS - 2, 5) == PATHS[SEGMENT_ITEMS - 2 : SEGMENT_ITEMS + 3]
    assert again.read(len(PATHS) - 1, 5) == PATHS[-1:]
    again.check()


def test_listing_goes_on_where_it_was_cut(tmp_path: Path) -> None:
    def dies() -> object:
        yield from PATHS[: SEGMENT_ITEMS + 1]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Manifest(tmp_path).append_all(dies())  # type: ignore[arg-type]
    half = Manifest(tmp_path)
    assert not half.complete and half.items == SEGMENT_ITEMS
    half.append_all(PATHS)
    assert list(Manifest(tmp_path)) == PATHS


def test_a_dataset_that_has_changed_is_refused(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path)
    manifest.append_all(PATHS)
    (tmp_path / "complete.json").unlink()
    with pytest.raises(UsageError, match="changed since"):
        Manifest(tmp_path).append_all([b"000000/0.jpg", *PATHS])


def test_damage_is_found(tmp_path: Path) -> None:
    Manifest(tmp_path).append_all(PATHS)
    segment = tmp_path / "00000000.paths"
    segment.write_bytes(segment.read_bytes().replace(b"000003/", b"000004/"))
    with pytest.raises(ManyeyesError, match="damaged"):
        Manifest(tmp_path).check()
    segment.unlink()
    with pytest.raises(ManyeyesError, match="lacks"):
        Manifest(tmp_path)


def test_a_listing_may_be_ended_before_its_end(tmp_path: Path) -> None:
    enough = threading.Event()

    def listing() -> Iterator[bytes]:
        yield from PATHS[:SEGMENT_ITEMS]
        enough.set()
        yield from PATHS[SEGMENT_ITEMS:]

    manifest = Manifest(tmp_path)
    manifest.append_all(listing(), enough=enough)
    assert (manifest.items, manifest.complete) == (SEGMENT_ITEMS, False)
    manifest.append_all(PATHS)
    assert (manifest.items, manifest.complete) == (len(PATHS), True)
