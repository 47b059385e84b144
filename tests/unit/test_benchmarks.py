"""What the benchmark says is only worth something if its check sees a difference: numbers in, words out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import observing, pictures, sameness, summary
from benchmarks.compare import Plan, differing
from benchmarks.rounds import Measured
from benchmarks.scale import footprint, report
from benchmarks.scale.paper import estimate
from benchmarks.scale.steady import Step
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


#: As bench-results/scale-items.json has it, of a thousand images.
THOUSAND = {
    "items": 1000,
    "processes": 2,
    "shards": 4,
    "listed_per_s": 100_000.0,
    "images_per_s": 5000.0,
    "whole_s": 3.0,
    "outputs_s": 0.25,
    "owner_rss": 200_000_000,
    "redis_peak": 7_000_000,
    "owner_cpu_s": 0.01,
    "assembly_cpu_s": 0.02,
    "broker_cpu_s": 0.001,
    "parents_cpu_s": 0.001,
    "workers_cpu_s": 0.1,
    "disk": {"manifest": 21_000, "journal": 280_000, "tables": 16_000, "csv": 290_000, "coco": 510_000, "other": 9000},
    "shard_in_redis": {"sent": {"items": 100, "bytes": 2100}},
    "load_before": 0.1,
    "load_after": 0.9,
}


def test_a_hundred_million_cost_what_a_thousand_cost_by_the_item() -> None:
    found = estimate(THOUSAND, 100_000_000)
    assert found.disk == {"manifest": 2.1e9, "journal": 28e9, "tables": 1.6e9, "csv": 29e9, "coco": 51e9}
    assert found.disk_bytes == 111.7e9
    assert (found.listing_s, found.collecting_s, found.assembling_s) == (1000, 1000, 2000)
    assert (found.running_bytes, found.ending_bytes) == (200e6, 800e6)


def test_the_report_says_what_was_wanted_beside_what_was_measured() -> None:
    said = report.items(THOUSAND)
    assert "| listed and durable | 100,000 items/s | 20,000 or more |" in said
    assert "| owner, tables and exports | 0.0 s of CPU, 20.0 us an image |" in said
    assert "| disk, journal | 280.0 bytes an image |" in said
    assert "| Redis, a shard of 100 sent | 21 bytes an image |" in said
    assert "| 100,000,000 | 2.1 | 28.0 | 1.6 | 29.0 | 51.0 | 1,000 | 17 | 33 | 200 | 800 |" in report.paper(
        THOUSAND, [100_000_000]
    )


def test_the_steady_state_ends_before_the_shards_of_the_end_get_smaller() -> None:
    step = Step(processes=1000, image_s=0.1, detections=5, per_worker=25, seconds=60)
    assert step.images_per_s == 10_000 and step.settle_s > 2 * step.shard_s
    # A run's last shards are less than what is left over four times the processes.
    full = step.shard_s / step.image_s
    left = step.items - step.images_per_s * (step.settle_s + step.seconds) - 2 * 1000 * full
    assert left >= 4 * 1000 * full
    assert Step(10, 0.1, 5, 25, 60, whole=77).items == 77


def test_every_byte_of_a_run_is_in_one_part(tmp_path: Path) -> None:
    for name in ("manifest/00000000.paths", "journal.bin", "images.parquet", "dataset.coco.json", "logs/a.log"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(bytes(10))
    parts = {"manifest": 10, "journal": 10, "tables": 10, "csv": 0, "coco": 10, "other": 10}
    assert footprint.on_disk(tmp_path) == parts


def test_what_observing_costs_is_a_part_of_the_throughput_and_of_the_detectors_cpu() -> None:
    alone = observing.Ran(100.0, "digest", {"producer": 1.0, "broker": 0.5, "processes": 50.0})
    watched = observing.Ran(98.0, "digest", {**alone.cpu_s, "processes": 60.0, "flower": 1.0}, events=9)
    assert observing.cost(alone, watched) == pytest.approx(2.0)
    assert observing.more_cpu(alone, watched) == pytest.approx(2.0)
