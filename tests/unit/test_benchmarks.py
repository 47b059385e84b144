"""What the benchmark says is only worth something if its check sees a difference: numbers in, words out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import pictures, sameness, summary
from benchmarks.compare import Plan, differing
from benchmarks.rounds import Measured
from common.errors import UsageError
from tests.unit import pictures as made
from tests.unit import tabled


def measured(variant: str, images_per_s: float, whole_s: float = 10.0) -> Measured:
    return Measured(variant, 100, images_per_s, 1.0, whole_s, 50.0, 90.0)


def plan(per_call_count: int = 4) -> Plan:
    return Plan(("hog",), ("sequential", "pool-per-call"), (), 4, per_call_count, 1, 2)


def test_tables_and_arrays_of_the_same_boxes_have_the_same_fingerprint(tmp_path: Path) -> None:
    best, second = (0, 0.75, 1.5, 2, 30, 40), (2, 0.5, 0, 0, 9, 9)
    rows = [
        tabled.ok(0, b"a.jpg", best, second),
        tabled.ok(1, b"b.jpg"),
        tabled.failed(2, b"c.jpg"),
        tabled.ok(3, b"d.jpg", second),
    ]
    tabled.run(tmp_path, rows)
    boxes = np.array([[1.5, 2, 30, 40], [0, 0, 9, 9]], np.float32)
    scores, class_ids = np.array([0.75, 0.5], np.float32), np.array([0, 2], np.int32)
    found = sameness.of_run(tmp_path)
    assert found == {
        "a.jpg": sameness.fingerprint(boxes, scores, class_ids),
        "b.jpg": sameness.fingerprint(boxes[:0], scores[:0], class_ids[:0]),
        "c.jpg": sameness.failure("truncated"),
        "d.jpg": sameness.fingerprint(boxes[1:], scores[1:], class_ids[1:]),
    }
    assert [sameness.boxes(word) for word in found.values()] == [2, 0, 0, 1]


@pytest.mark.parametrize("what", ["box", "score", "class", "order"])
def test_the_least_difference_changes_the_fingerprint(what: str) -> None:
    boxes = np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.float32)
    scores, class_ids = np.array([0.5, 0.5], np.float32), np.array([1, 1], np.int32)
    before = sameness.fingerprint(boxes, scores, class_ids)
    if what == "box":
        boxes[1, 3] = np.nextafter(boxes[1, 3], np.float32(9))
    elif what == "score":
        scores[0] = np.nextafter(scores[0], np.float32(1))
    elif what == "class":
        class_ids[0] = 2
    else:
        boxes = boxes[::-1]
    assert sameness.fingerprint(boxes, scores, class_ids) != before


def test_an_image_that_is_changed_missing_or_too_much_is_a_difference() -> None:
    reference = {"0": "1 boxes aa", "1": "0 boxes bb", "2": "failed truncated", "3": "2 boxes cc"}
    assert differing(reference, {"sequential": dict(reference)}, plan()) == []
    changed = {**reference, "1": "1 boxes dd", "4": "0 boxes bb"}
    del changed["2"]
    assert differing(reference, {"sequential": reference, "pool": changed}, plan()) == [
        "pool: 1: 0 boxes bb expected, 1 boxes dd found",
        "pool: 2: failed truncated expected, absent found",
        "pool: 4: absent expected, 0 boxes bb found",
    ]


def test_the_variant_with_fewer_images_owes_the_first_ones() -> None:
    reference = {"0": "1 boxes aa", "1": "0 boxes bb", "2": "failed truncated", "3": "2 boxes cc"}
    first = {name: reference[name] for name in ("0", "1")}
    assert differing(reference, {"pool-per-call": first}, plan(per_call_count=2)) == []
    assert differing(reference, {"pool-per-call": {"0": "1 boxes aa"}}, plan(per_call_count=2))


def test_ratios_are_taken_within_rounds() -> None:
    # The machine is twice as slow in the second round: the ratios do not see it.
    fast = {one.variant: one for one in (measured("sequential", 50), measured("ideal", 100), measured("pipeline", 95))}
    slow = {one.variant: one for one in (measured("sequential", 25), measured("ideal", 50), measured("pipeline", 48))}
    rows = {row.variant: row for row in summary.summarise([fast, slow, slow])}
    assert rows["pipeline"].images_per_s == 48 and (rows["pipeline"].slowest, rows["pipeline"].fastest) == (48, 95)
    assert rows["pipeline"].to_ideal == 0.96 and rows["pipeline"].to_sequential == 1.92
    assert rows["pipeline"].to_per_call is None
    assert rows["pipeline"].over_ideal_s == 10 - 100 / 50


def test_few_images_are_gone_through_again(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.PNG"):
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_bytes(made.jpeg())
    links = pictures.repeat([tmp_path / "in"], 5, tmp_path / "out")
    assert [link.name for link in links] == ["000000.jpg", "000001.png", "000002.jpg", "000003.png", "000004.jpg"]
    assert [link.resolve().name for link in links] == ["a.jpg", "b.PNG", "a.jpg", "b.PNG", "a.jpg"]


def test_a_folder_without_images_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(UsageError, match=str(tmp_path)):
        pictures.repeat([tmp_path], 3, tmp_path / "out")
