"""CSV and JSON Lines: what their ordinary readers read back is what the tables hold."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from common.errors import ManyeyesError, UsageError
from jobs.detect.exports import FORMATS, export
from jobs.detect.selection import View
from jobs.detect.tables import parquet
from tests.unit.tabled import LABELS, failed, many, ok, pending, run, spec

BOX = (10.0, 20.0, 30.5, 60.0)
NAMES = ["plain.jpg", 'new\nline,comma"quote.jpg', "carriage\rreturn.jpg", "\N{CAMERA} naïve.jpg"]


def test_csv_has_the_columns_of_the_table_and_any_name(tmp_path: Path) -> None:
    run(tmp_path, [ok(item, name.encode(), (item % 3, 0.9, *BOX)) for item, name in enumerate(NAMES)])
    (path,) = export("csv", tmp_path, spec(), View.of(spec())).paths
    assert path == tmp_path / "detections.csv"
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = list(csv.reader(file))
    assert header == pq.read_schema(tmp_path / "detections.parquet").names
    assert [row[1] for row in rows] == NAMES
    assert rows[1] == ["1", NAMES[1], LABELS[1], "1", "0.9", "10", "20", "30.5", "60"]


def test_csv_holds_the_view_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "BLOCK_DETECTIONS", 40)
    run(tmp_path, many(60, 9))
    view = View(0.6, (0, 2), 2)
    (path,) = export("csv", tmp_path, spec(), view, tmp_path / "some" / "where.csv").paths
    shown: dict[str, int] = {}
    expected = []
    for row in pq.read_table(tmp_path / "detections.parquet").to_pylist():
        if row["score"] >= 0.6 and row["class_id"] != 1 and shown.get(row["path"], 0) < 2:
            shown[row["path"]] = shown.get(row["path"], 0) + 1
            expected.append((str(row["item"]), row["label"], row["score"]))
    with path.open(newline="") as file:
        got = [(row["item"], row["label"], row["score"]) for row in csv.DictReader(file)]
    assert [(item, label) for item, label, _ in got] == [(item, label) for item, label, _ in expected]
    assert all(abs(float(a[2]) - b[2]) < 1e-7 for a, b in zip(got, expected, strict=True)) and len(got) > 20


def test_jsonl_has_an_object_for_every_image(tmp_path: Path) -> None:
    rows = [ok(0, "a\u2028b.jpg".encode(), (1, 0.9, *BOX), (0, 0.1, *BOX)), ok(1, b"b.jpg")]
    run(tmp_path, [*rows, failed(2, b"c.jpg"), pending(3, b"\xff.jpg")])
    (path,) = export("jsonl", tmp_path, spec(), View.of(spec())).paths
    images = [json.loads(line) for line in path.read_text("ascii").splitlines()]
    box = {"label": LABELS[1], "class_id": 1, "score": 0.9, "x1": 10, "y1": 20, "x2": 30.5, "y2": 60}
    assert [image["detections"] for image in images] == [[box], [], None, None]
    assert [(image["path"], image["status"], image["error_code"]) for image in images] == [
        ("a\u2028b.jpg", "ok", None),
        ("b.jpg", "ok", None),
        ("c.jpg", "failed", "truncated"),
        ("\\xff.jpg", "pending", None),
    ]


@pytest.mark.parametrize("format", FORMATS)
def test_every_export_is_the_same_bytes_again_whatever_the_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    contents = []
    for items, name in ((8192, "large"), (7, "small")):
        monkeypatch.setattr(parquet, "BLOCK_ITEMS", items)
        run(tmp_path / name, many(40, 5))
        (first, *_) = paths = export(format, tmp_path / name, spec(), View.of(spec())).paths
        files = [f for f in first.rglob("*") if f.is_file()] if first.is_dir() else list(paths)
        contents.append({f.relative_to(tmp_path / name): f.read_bytes() for f in files})
        assert not [path.name for path in (tmp_path / name).iterdir() if path.name.startswith(".")]
    assert contents[0] == contents[1] and any(contents[0].values())


def test_tables_of_two_runs_are_not_joined(tmp_path: Path) -> None:
    run(tmp_path / "a", [ok(0, b"a.jpg"), ok(1, b"b.jpg", (0, 0.9, *BOX))])
    run(tmp_path / "b", [ok(0, b"a.jpg")])
    (tmp_path / "a" / "detections.parquet").replace(tmp_path / "b" / "detections.parquet")
    with pytest.raises(ManyeyesError, match="`producer resume`"):
        export("csv", tmp_path / "b", spec(), View.of(spec()))
    assert not (tmp_path / "b" / "detections.csv").exists()


def test_an_unknown_format_names_the_known(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--format xml is not known; choose one of coco, csv, jsonl, yolo, voc"):
        export("xml", tmp_path, spec(), View.of(spec()))
