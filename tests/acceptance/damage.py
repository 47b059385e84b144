"""A finished run's directory in, the same with one thing wrong out; and the words by which `verify` must name it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.unit import pictures

Damage = Callable[[Path], None]


def rewrite(run: Path, name: str, change: Callable[[pa.Table], pa.Table]) -> None:
    table = pq.read_table(run / name)
    pq.write_table(change(table).replace_schema_metadata(table.schema.metadata), run / name)


def rows(name: str, order: Callable[[list[int]], list[int]]) -> Damage:
    """The same rows, others left out, doubled or moved."""
    return lambda run: rewrite(
        run, name, lambda table: table.take(pa.array(order(list(range(table.num_rows))), pa.int64()))
    )


def value(name: str, column: str, row: int, new: object) -> Damage:
    def change(table: pa.Table) -> pa.Table:
        values = table[column].to_pylist()
        values[row] = new
        field = table.schema.field(column)
        return table.set_column(table.schema.get_field_index(column), field, pa.array(values, field.type))

    return lambda run: rewrite(run, name, change)


def edit(*keys: str, new: object) -> Damage:
    """Another value in run.json."""

    def change(run: Path) -> None:
        data = inner = json.loads((run / "run.json").read_text())
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = new
        (run / "run.json").write_text(json.dumps(data))

    return change


def truncate(name: str, share: float = 0.6) -> Damage:
    return lambda run: (run / name).write_bytes(pictures.cut((run / name).read_bytes(), share)) and None


def remove(name: str) -> Damage:
    return lambda run: (run / name).unlink()


def replace(name: str, old: bytes, new: bytes) -> Damage:
    def change(run: Path) -> None:
        data = (run / name).read_bytes()
        assert old in data
        (run / name).write_bytes(data.replace(old, new, 1))

    return change


def flip_bit(at: int) -> Damage:
    def flip(run: Path) -> None:
        data = bytearray((run / "journal.bin").read_bytes())
        data[at] ^= 1
        (run / "journal.bin").write_bytes(data)

    return flip


IMAGES, DETECTIONS, TIMINGS = "images.parquet", "detections.parquet", "timings.parquet"
SEGMENT = "manifest/00000000.paths"

DAMAGES: dict[str, tuple[Damage, tuple[str, ...]]] = {
    "row dropped": (
        rows(IMAGES, lambda r: r[:4] + r[6:]),
        ("images.parquet: items 4 to 5 are missing", "has 9"),
    ),
    "last dropped": (rows(IMAGES, lambda r: r[:-1]), ("images.parquet: item 10 is missing",)),
    "row doubled": (
        rows(IMAGES, lambda r: [*r[:4], *r[3:]]),
        ("item 3 (3.jpg) is there more than once", "has 12"),
    ),
    "rows swapped": (rows(IMAGES, lambda r: [1, 0, *r[2:]]), ("item 0 (0.jpg) is out of order",)),
    "unknown item": (value(IMAGES, "item", 10, 99), ("item 99", "not in the manifest", "item 10 is missing")),
    "other path": (
        value(IMAGES, "path", 2, "x\n.jpg"),
        ("item 2 (x\\n.jpg) is 2.jpg in the manifest",),
    ),
    "other raw path": (value(IMAGES, "path_bytes", 9, b"raw-\xfe.jpg"), ("item 9", "in the manifest")),
    "no raw path": (value(IMAGES, "path_bytes", 9, None), ("item 9", "in the manifest")),
    "ok with a code": (value(IMAGES, "error_code", 0, "empty"), ("item 0 (0.jpg) is ok with the error code empty",)),
    "failed without": (value(IMAGES, "error_code", 8, None), ("item 8 (cut.jpg) is failed with the error code null",)),
    "unknown code": (value(IMAGES, "error_code", 8, "tired"), ("error code tired", "counts errors")),
    "unknown status": (value(IMAGES, "status", 0, "fine"), ("item 0 (0.jpg) is fine",)),
    "other sha": (
        value(IMAGES, "content_sha256", 1, "0" * 64),
        ("item 1 (1.jpg): content_sha256 not as",),
    ),
    "other size": (value(IMAGES, "width", 1, 5), ("item 1 (1.jpg): width not as in the journal",)),
    "ok for failed": (
        value(IMAGES, "status", 8, "ok"),
        ("item 8 (cut.jpg): status not as", "counts ok 9"),
    ),
    "count": (value(IMAGES, "detections", 0, 77), ("images.parquet says 77", "run.json: it counts detections")),
    "max_score": (value(IMAGES, "max_score", 0, 0.77), ("has the best score", "images.parquet says 0.77")),
    "score": (value(DETECTIONS, "score", 0, 0.99), ("best score 0.99", "other boxes than in the journal", "digest")),
    "box": (value(DETECTIONS, "x1", 1, 0.5), ("detections.parquet: item", "other boxes than in the journal")),
    "label": (value(DETECTIONS, "label", 1, "cat"), ("run.json: it says the tables' digest is",)),
    "box dropped": (rows(DETECTIONS, lambda r: r[1:]), ("detections.parquet: item", "images.parquet says")),
    "boxes swapped": (rows(DETECTIONS, lambda r: [1, 0, *r[2:]]), ("has rows out of order",)),
    "boxes gone": (rows(DETECTIONS, lambda r: []), ("has no detection here, in images.parquet it has",)),
    "box of a failed": (value(DETECTIONS, "item", -1, 8), ("item 8 has detections, and is not ok",)),
    "box of nobody": (value(DETECTIONS, "item", -1, 99), ("detections.parquet: item 99 is not in the manifest",)),
    "timing dropped": (rows(TIMINGS, lambda r: r[1:]), ("timings.parquet: item 0 is missing",)),
    "timing doubled": (rows(TIMINGS, lambda r: [0, *r]), ("timings.parquet: item 0 is there more than once",)),
    **{f"{name} cut": (truncate(name), (f"{name}: ", "cannot be read")) for name in (IMAGES, DETECTIONS, TIMINGS)},
    **{f"{name} gone": (remove(name), (f"{name}: ", "is not there")) for name in (IMAGES, DETECTIONS, TIMINGS)},
    "column gone": (
        lambda run: rewrite(run, IMAGES, lambda t: t.drop(["width"])),
        ("other columns",),
    ),
    "segment gone": (remove(SEGMENT), ("manifest: ", "does not agree with its complete.json")),
    "other manifest": (replace(SEGMENT, b"3.jpg", b"x.jpg"), ("manifest: ", "item 3 (3.jpg) is x.jpg in the manifest")),
    "manifest gone": (lambda run: shutil.rmtree(run / "manifest"), ("manifest: it is not there",)),
    "not complete": (remove("manifest/complete.json"), ("manifest: it is not complete",)),
    "complete cut": (truncate("manifest/complete.json"), ("manifest: its complete.json cannot be read",)),
    "journal gone": (remove("journal.bin"), ("journal.bin: it is not there",)),
    "journal cut": (
        truncate("journal.bin"),
        ("bytes in it are no whole result", "is ok in images.parquet and has no result here"),
    ),
    "journal bit": (flip_bit(-5), ("bytes in it are no whole result", "is ok in images.parquet and has no")),
    "journal's first bit": (flip_bit(0), ("bytes in it are no whole result", "is ok in images.parquet and has no")),
    "counts": (edit("counts", "ok", new=8), ("run.json: it counts ok 8, images.parquet has 9",)),
    "errors": (edit("counts", "errors", new={}), ("run.json: it counts errors {}",)),
    "no counts": (edit("counts", new=None), ("run.json: it has no counts",)),
    "digest": (edit("digest", new="0" * 64), ("run.json: it says the tables' digest is 0000",)),
    "spec": (edit("spec", "conf", new=0.5), ("spec: its digest is", "detections to show")),
    "spec digest": (edit("spec_digest", new="0"), ("spec: its digest is", "run.json says 0")),
    "detector": (edit("detector", "digest", new="0"), ("spec: it pins the detector", "run.json says 0")),
    "spec lacks": (edit("spec", new={}), ("spec: what run.json says of it cannot be read",)),
    "state": (edit("state", new="asleep"), ("state: 'asleep' is none that a run can be in",)),
    "running": (edit("state", new="running"), ("state: the run is not finished", "producer resume /")),
    "no JSON": (truncate("run.json"), ("run.json: ", "no readable run.json")),
    "no object": (lambda run: (run / "run.json").write_text("[]") and None, ("run.json: ", "no JSON object")),
}
