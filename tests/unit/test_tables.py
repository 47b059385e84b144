"""The three tables: every item once, the same bytes for the same rows, and a digest that the files give back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from common.errors import ItemCode, ManyeyesError, UsageError
from jobs.detect.selection import View
from jobs.detect.tables import parquet
from jobs.detect.tables.parquet import DETECTIONS_FILE, IMAGES_FILE, TIMINGS_FILE, table_digest
from tests.unit.tabled import failed, many, ok, pending, run, spec

BOX = (10.0, 20.0, 30.0, 40.0)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "BLOCK_ITEMS", 50)
    monkeypatch.setattr(parquet, "BLOCK_DETECTIONS", 90)


def test_each_state_of_an_item_becomes_a_row(tmp_path: Path) -> None:
    rows = [
        ok(0, b"a.jpg", (0, 0.9, *BOX), (2, 0.3, *BOX), (0, 0.29, *BOX)),
        ok(1, b"b.jpg"),
        failed(2, b"c.jpg", ItemCode.EMPTY, "no bytes"),
        pending(3, b"d.jpg"),
        ok(4, b"low.jpg", (0, 0.1, *BOX)),
    ]
    summary = run(tmp_path, rows)
    assert (summary.items, summary.ok, summary.failed, summary.pending) == (5, 3, 1, 1)
    assert (summary.detections, summary.errors) == (2, {"empty": 1})
    images = pq.read_table(tmp_path / IMAGES_FILE).to_pylist()
    assert [(row["item"], row["path"], row["status"]) for row in images] == [
        (0, "a.jpg", "ok"),
        (1, "b.jpg", "ok"),
        (2, "c.jpg", "failed"),
        (3, "d.jpg", "pending"),
        (4, "low.jpg", "ok"),
    ]
    assert [row["detections"] for row in images] == [2, 0, 0, 0, 0]
    best = [None if row["max_score"] is None else round(row["max_score"], 6) for row in images]
    assert best == [0.9, None, None, None, 0.1], "the best of all rows, also under conf"
    assert (images[2]["error_code"], images[2]["error"], images[2]["bytes"]) == ("empty", "no bytes", 7)
    assert (images[2]["content_sha256"], images[3]["bytes"], images[3]["width"]) == (None, None, None)
    assert (images[0]["bytes"], images[0]["content_sha256"], images[0]["width"]) == (1000, "0" * 64, 640)
    stored = pq.read_table(tmp_path / DETECTIONS_FILE).to_pylist()
    assert [(row["item"], row["path"], row["label"]) for row in stored] == [
        (0, "a.jpg", "person"),
        (0, "a.jpg", "cat"),
        (0, "a.jpg", "person"),
        (4, "low.jpg", "person"),
    ]
    timings = pq.read_table(tmp_path / TIMINGS_FILE).to_pylist()
    assert [row["item"] for row in timings] == [0, 1, 2, 4], "who was never looked at took no time"
    assert timings[0]["started"].timestamp() == 1_700_000_000.5


def test_counts_follow_classes_and_max_det_and_the_rows_stay(tmp_path: Path) -> None:
    rows = [ok(0, b"a.jpg", *((number % 3, 0.9 - number / 100, *BOX) for number in range(30)))]
    assert run(tmp_path, rows, classes=(0, 2), max_det=7).detections == 7
    assert run(tmp_path, rows, classes=(1,)).detections == 10
    assert pq.read_metadata(tmp_path / DETECTIONS_FILE).num_rows == 30


def test_undecodable_paths_keep_their_bytes(tmp_path: Path) -> None:
    run(tmp_path, [ok(0, b"bad-\xff.jpg"), ok(1, "naïve \U0001f4f7\n,.jpg".encode())])
    images = pq.read_table(tmp_path / IMAGES_FILE).to_pylist()
    assert [(row["path"], row["path_bytes"]) for row in images] == [
        ("bad-\\xff.jpg", b"bad-\xff.jpg"),
        ("naïve \U0001f4f7\n,.jpg", None),
    ]


@pytest.mark.usefixtures("small_blocks")
def test_bytes_and_row_groups_do_not_depend_on_how_rows_arrive(tmp_path: Path) -> None:
    rows = many(400, 5)
    digests = {run(tmp_path / "list", rows).digest, run(tmp_path / "stream", iter(rows)).digest}
    assert len(digests) == 1
    for name in (IMAGES_FILE, DETECTIONS_FILE, TIMINGS_FILE):
        assert (tmp_path / "list" / name).read_bytes() == (tmp_path / "stream" / name).read_bytes()
    file = pq.ParquetFile(tmp_path / "list" / IMAGES_FILE)
    assert file.num_row_groups > 5
    assert file.schema_arrow.metadata == {b"manyeyes.table": b"images", b"manyeyes.schema": b"1"}


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("rows", [[], many(3, 0), many(400, 5), [failed(0, b"x"), pending(1, b"\xff")]])
def test_the_files_give_the_digest_back(tmp_path: Path, rows: list[parquet.ItemRow]) -> None:
    summary = run(tmp_path, rows)
    assert table_digest(tmp_path) == summary.digest


def test_the_digest_is_of_values_not_of_their_encoding(tmp_path: Path) -> None:
    summary = run(tmp_path, many(200, 5))
    for name in (IMAGES_FILE, DETECTIONS_FILE):
        table = pq.read_table(tmp_path / name)
        pq.write_table(table, tmp_path / name, row_group_size=17, compression="none", use_dictionary=False)
    assert table_digest(tmp_path) == summary.digest


@pytest.mark.parametrize(
    ("name", "column", "value"),
    [
        (IMAGES_FILE, "path", "d/000009.jpg"),
        (IMAGES_FILE, "path_bytes", b"d/000002.jpg"),
        (IMAGES_FILE, "width", 641),
        (IMAGES_FILE, "width", None),
        (IMAGES_FILE, "exif_orientation", 0),
        (DETECTIONS_FILE, "label", "cat!"),
        (DETECTIONS_FILE, "score", 0.123),
        (DETECTIONS_FILE, "y2", 1e-7),
    ],
)
def test_the_digest_sees_every_value(tmp_path: Path, name: str, column: str, value: object) -> None:
    summary = run(tmp_path, many(5, 3, seed=1))
    table = pq.read_table(tmp_path / name)
    values = [*table[column].to_pylist()[:-1], value]
    assert values != table[column].to_pylist()
    field = table.schema.field(column).with_nullable(True)
    changed = table.set_column(table.schema.get_field_index(column), field, pa.array(values, field.type))
    pq.write_table(changed, tmp_path / name)
    assert table_digest(tmp_path) != summary.digest


def test_the_digest_leaves_the_words_of_errors_aside(tmp_path: Path) -> None:
    one, other = (run(tmp_path / text, [failed(0, b"a", text=text)]).digest for text in ("cut", "short"))
    assert one == other != run(tmp_path, [failed(0, b"a", ItemCode.EMPTY)]).digest


@pytest.mark.parametrize("items", [(1,), (0, 0), (0, 2)])
def test_an_item_twice_or_missing_leaves_no_table(tmp_path: Path, items: tuple[int, ...]) -> None:
    with pytest.raises(ManyeyesError, match="journal is damaged"):
        run(tmp_path, [ok(item, b"a.jpg") for item in items])
    assert list(tmp_path.iterdir()) == []


def test_a_failing_write_leaves_the_old_tables(tmp_path: Path) -> None:
    run(tmp_path, many(3, 2))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ManyeyesError):
        run(tmp_path, [ok(0, b"a.jpg"), ok(5, b"b.jpg")])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_another_schema_version_is_refused(tmp_path: Path) -> None:
    run(tmp_path, many(3, 2))
    table = pq.read_table(tmp_path / IMAGES_FILE)
    pq.write_table(table.replace_schema_metadata({"manyeyes.schema": "99"}), tmp_path / IMAGES_FILE)
    with pytest.raises(ManyeyesError, match="schema version 99"):
        next(parquet.read_images(tmp_path))
    (tmp_path / IMAGES_FILE).write_bytes(b"PAR1 no")
    with pytest.raises(ManyeyesError, match="cannot be read"):
        next(parquet.read_images(tmp_path))


def test_a_view_equals_the_plain_rule() -> None:
    rows = many(200, 12, seed=3)
    items = np.repeat([row.item for row in rows], [len(row.detections) for row in rows])
    detections = np.concatenate([row.detections for row in rows])
    view = View(0.4, (0, 2), 3)
    expected = []
    for row in rows:
        passing = [d for d in row.detections if d["score"] >= np.float32(0.4) and d["class_id"] in (0, 2)]
        expected += [(row.item, float(d["score"])) for d in passing[:3]]
    keep = view.keep(items, detections["class_id"], detections["score"])
    assert [(i, float(s)) for i, s in zip(items[keep], detections["score"][keep], strict=True)] == expected


def test_a_score_that_prints_as_the_threshold_passes_it() -> None:
    scores = np.array([0.3, 0.7, 0.1], np.float32)
    for score in (0.3, 0.7, 0.1):
        shown = View(score, None, 300).keep(np.arange(3), np.zeros(3, np.int32), scores)
        assert shown.sum() == (scores >= np.float32(score)).sum()
        assert shown[list(scores).index(np.float32(score))]


@pytest.mark.parametrize(
    ("view", "changes", "words"),
    [
        (View(0.001, None, 300), {}, "--floor 0.001"),
        (View(1.5, None, 300), {}, "out of range"),
        (View(0.5, None, 300), {"refilterable": False}, "submit again with --conf 0.5"),
        (View(0.3, (3,), 300), {}, "ids from 0 to 2"),
        (View(0.3, None, 0), {}, "give 1 or more"),
    ],
)
def test_a_view_the_tables_cannot_answer_is_refused(view: View, changes: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        view.check(spec(**changes))
    View.of(spec(**changes)).check(spec(**changes))


def test_starting_up_does_not_pay_for_arrow_or_pillow() -> None:
    modules = (
        "jobs.detect.tables.parquet, jobs.detect.exports, jobs.detect.selection, jobs.detect.reports.preview, "
        "producer.results.timings"
    )
    code = f"import sys, {modules}; print([m for m in ('pyarrow', 'PIL', 'cv2') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
