"""`producer verify` on a real run: it agrees, and every kind of damage to its files is named."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from producer.journal import Journal
from producer.receipt import TOLD
from producer.rundir import RunDir
from producer.verify import outputs_agree, verify
from tests.acceptance.commands import only_run, producer
from tests.unit import pictures

Damage = Callable[[Path], None]
#: Of the finished run: nine that are ok, of which hog finds boxes in some; one cut short; one that is not there.
ITEMS = 11


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `photos/` and one finished run over them, in shards of three."""
    folder = tmp_path_factory.mktemp("world")
    (folder / "photos").mkdir()
    random = np.random.default_rng(0)
    for number in range(8):
        image = cv2.resize(random.integers(0, 256, (60, 80, 3), np.uint8), (640, 480), interpolation=cv2.INTER_CUBIC)
        (folder / f"photos/{number}.jpg").write_bytes(cv2.imencode(".jpg", image)[1].tobytes())
    (folder / "photos/cut.jpg").write_bytes(pictures.cut(pictures.jpeg()))
    Path(os.fsdecode(os.fsencode(folder) + b"/photos/raw-\xff.jpg")).write_bytes(pictures.jpeg())
    names = [*sorted(os.fsencode(path) for path in (folder / "photos").iterdir()), b"photos/vanished.jpg"]
    (folder / "list.txt").write_bytes(b"\0".join(names))
    options = ("--conf", "0.02", "--max-det", "2", "--shard-size", "3", "-c", "1")
    said = producer("submit", "list.txt", "--json", *options, cwd=folder)
    assert (said.code, said.json["items"], said.json["failed"]) == (3, ITEMS, 2), said.err
    assert said.json["detections"] > 4, "there must be something to damage"
    return folder


@pytest.fixture
def run(world: Path, tmp_path: Path) -> Path:
    """A copy of the run's directory, to be damaged."""
    return Path(shutil.copytree(only_run(world), tmp_path / "runs" / only_run(world).name))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def differences(run: Path, deep: bool = False) -> str:
    """In one text; and that `verify` left the run as it was."""
    before = contents(run)
    receipt = verify(RunDir(run), deep)
    assert contents(run) == before
    return "\n".join(receipt.differences)


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


def flip_last_frame(run: Path) -> None:
    data = bytearray((run / "journal.bin").read_bytes())
    data[-5] ^= 1
    (run / "journal.bin").write_bytes(data)


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
        ("journal.bin: its last", "is ok in images.parquet and has no result here"),
    ),
    "journal bit": (
        flip_last_frame,
        ("journal.bin: its last", "is ok in images.parquet and has no"),
    ),
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


@pytest.mark.parametrize("kind", DAMAGES)
def test_each_kind_of_damage_is_named(kind: str, run: Path) -> None:
    damage, words = DAMAGES[kind]
    damage(run)
    found = differences(run)
    assert all(word in found for word in words), found


def test_what_agrees_is_said(world: Path) -> None:
    run, before = only_run(world), contents(only_run(world))
    said = producer("verify", cwd=world)
    assert said.code == 0, said.err
    assert f"{run.name}: the receipt agrees: {ITEMS} items" in said.out and "(9 ok, 2 failed)" in said.out
    assert said.err == "", "nothing to say where nothing differs"
    said = producer("verify", run.name[:-2], "--deep", "--json", cwd=world)
    assert said.code == 0, said.err
    known = json.loads((run / "run.json").read_text())
    assert {name: said.json[name] for name in ("items", "ok", "failed", "pending", "detections", "digest")} == {
        **{name: known["counts"][name] for name in ("items", "ok", "failed", "pending", "detections")},
        "digest": known["digest"],
    }
    assert (said.json["agrees"], said.json["differences"], said.json["run_id"]) == (True, [], run.name)
    assert said.json["files"] == 10, "all but the one that was not there"
    assert "11/11 images compared" in said.err and "\x1b" not in said.err and "\r" not in said.err
    assert contents(run) == before, "a receipt changes nothing"


def test_what_differs_is_on_stderr_with_exit_code_5(run: Path, tmp_path: Path) -> None:
    rows(IMAGES, lambda r: r[1:])(run)
    said = producer("verify", cwd=tmp_path)
    assert (said.code, said.out) == (5, "")
    assert "the receipt does not agree: " in said.error
    assert "  images.parquet: item 0 is missing\n" in said.err
    assert f"producer resume runs/{run.name}\n" in said.err, "the manifest and the journal are whole"
    said = producer("verify", run, "--json", cwd=tmp_path)
    assert (said.code, said.json["agrees"], said.json["items"]) == (5, False, ITEMS - 1)
    assert "images.parquet: item 0 is missing" in said.json["differences"] and "item 0 is missing" in said.err
    assert producer("verify", "1999", cwd=tmp_path).code == 2


def test_a_million_differences_are_a_few_lines(run: Path) -> None:
    rewrite(run, IMAGES, lambda table: table.set_column(1, table.schema.field(1), pa.array(["x"] * ITEMS, pa.string())))
    receipt = verify(RunDir(run), deep=False)
    told = [line for line in receipt.differences if line.startswith("images.parquet")]
    assert (len(told), receipt.more) == (TOLD, ITEMS - TOLD)
    assert f"  and {ITEMS - TOLD} more" in receipt.lines()


def test_another_encoding_of_the_same_rows_agrees(run: Path) -> None:
    for name in (IMAGES, DETECTIONS, TIMINGS):
        pq.write_table(pq.read_table(run / name), run / name, row_group_size=1, compression="none")
    assert differences(run) == ""


def test_a_live_run_is_left_alone(run: Path, tmp_path: Path) -> None:
    with RunDir(run).lock():
        said = producer("verify", cwd=tmp_path)
    assert said.code == 5 and "has a live owner" in said.err and f"producer watch runs/{run.name}\n" in said.err


def test_a_lock_that_is_not_there_is_not_made(run: Path) -> None:
    (run / "owner.lock").unlink()
    assert differences(run) == ""


def test_pending_items_do_not_agree(run: Path, tmp_path: Path) -> None:
    edit("state", new="running")(run)
    truncate("journal.bin", 0.5)(run)
    said = producer("cancel", run, cwd=tmp_path)
    assert said.code == 0, said.err
    journal = Journal(run / "journal.bin")
    journal.close()
    said = producer("verify", cwd=tmp_path)
    assert said.code == 5
    assert f"  pending: {ITEMS - journal.done.count} of {ITEMS} items: the run is cancelled\n" in said.err
    assert "1 difference\n" in said.err, "all else agrees"
    assert outputs_agree(RunDir(run)), "to write them again would change nothing"


@pytest.fixture
def elsewhere(world: Path, tmp_path: Path) -> Path:
    """A folder with a copy of the images and of the run over them, which looks for them there."""
    shutil.copytree(world / "photos", tmp_path / "photos")
    run = Path(shutil.copytree(only_run(world), tmp_path / "runs" / only_run(world).name))
    data = json.loads((run / "run.json").read_text())
    data["spec"]["root"] = str(tmp_path / "photos")
    (run / "run.json").write_text(json.dumps(data))
    edit("spec_digest", new=RunDir(run).spec().digest)(run)
    return tmp_path


def test_deep_reads_every_file_again(elsewhere: Path) -> None:
    run, photos = only_run(elsewhere), elsewhere / "photos"
    assert differences(run, deep=True) == ""
    for name in ("1.jpg", "cut.jpg"):
        data = bytearray((photos / name).read_bytes())
        data[-1] ^= 1
        (photos / name).write_bytes(data)
    (photos / "2.jpg").unlink()
    (photos / "vanished.jpg").write_bytes(b"the run never saw it")
    said = producer("verify", "--deep", "--json", cwd=elsewhere)
    assert (said.code, said.json["files"], len(said.json["differences"])) == (5, 7, 3)
    assert "files: item 1 (1.jpg) has changed since the run" in said.err
    assert "files: item 2 (2.jpg) cannot be read any more (not_found)" in said.err
    assert "files: item 8 (cut.jpg) has changed" in said.err, "a failed image has a digest too"
    assert "producer resume" not in said.err, "no resume brings an image back"
    assert differences(run) == "", "without --deep the images are not looked at"


def test_items_without_a_digest_are_told(run: Path) -> None:
    value(IMAGES, "content_sha256", 0, None)(run)
    assert verify(RunDir(run), deep=True).without_digest == 1


@pytest.mark.parametrize(
    "kind", ["row dropped", "score", f"{DETECTIONS} cut", f"{TIMINGS} gone", "counts", "digest", "no JSON"]
)
def test_outputs_that_can_be_made_again_are_known(kind: str, run: Path) -> None:
    assert outputs_agree(RunDir(run))
    DAMAGES[kind][0](run)
    assert not outputs_agree(RunDir(run))


@pytest.mark.parametrize("name", ["detections.csv", "dataset.coco.json", "preview.jpg", "timings.json"])
def test_an_output_that_is_gone_is_missed(name: str, run: Path) -> None:
    (run / name).unlink()
    assert not outputs_agree(RunDir(run))
    assert differences(run) == "", "the receipt is about items, and any export can be made again"


@pytest.mark.parametrize("kind", ["segment gone", "journal bit"])
def test_outputs_are_not_to_blame_for_their_sources(kind: str, run: Path) -> None:
    with RunDir(run).lock():
        DAMAGES[kind][0](run)
        assert outputs_agree(RunDir(run)), "also asked by the owner itself"
