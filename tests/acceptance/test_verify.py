"""`producer verify` on a real run: it agrees, and every kind of damage to its files is named."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from producer.rundir.journal import Journal
from producer.rundir.run_directory import RunDir
from producer.verify.receipt import TOLD
from producer.verify.verify import verify
from tests.acceptance.commands import only_run, producer
from tests.acceptance.damage import DAMAGES, DETECTIONS, IMAGES, TIMINGS, edit, rewrite, rows, truncate, value
from tests.unit import pictures

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
    assert said.code == 5 and "has a live owner" in said.err and f"producer watch {run.name}\n" in said.err


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
    (run / "images.parquet").unlink()
    said = producer("verify", cwd=tmp_path)
    assert f"producer resume runs/{run.name}\n" in said.err
    assert "written again" in producer("resume", run, cwd=tmp_path).err
    assert "1 difference\n" in producer("verify", cwd=tmp_path).err, "as before"
    refused = producer("resume", run, cwd=tmp_path)
    assert refused.code == 2 and "cancelled, for good" in refused.error


def test_a_cancel_that_came_too_late_is_no_dead_end(run: Path, tmp_path: Path) -> None:
    (run / "cancel").touch()
    (run / "images.parquet").unlink()
    assert producer("resume", run, cwd=tmp_path).code == 3
    assert differences(run) == ""


def test_a_dataset_that_a_cancelled_run_had_not_listed_is_no_damage(run: Path) -> None:
    edit("state", new="cancelled")(run)
    (run / "manifest" / "complete.json").unlink()
    receipt = verify(RunDir(run), deep=False)
    assert not receipt.mendable and receipt.differences == (f"listing: it had not ended: {ITEMS} items",)


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
    "kind", ["row dropped", "score", f"{DETECTIONS} cut", f"{TIMINGS} gone", "counts", "journal's first bit"]
)
def test_what_is_damaged_is_mended_by_resume(kind: str, run: Path, tmp_path: Path) -> None:
    DAMAGES[kind][0](run)
    assert verify(RunDir(run), deep=False).mendable
    said = producer("resume", run, cwd=tmp_path)
    assert said.code == 3, said.err
    assert differences(run) == ""


@pytest.mark.parametrize("kind", ["segment gone", "other manifest"])
def test_outputs_are_not_to_blame_for_their_sources(kind: str, run: Path, tmp_path: Path) -> None:
    DAMAGES[kind][0](run)
    assert not verify(RunDir(run), deep=False).mendable
    before = (run / "images.parquet").read_bytes()
    refused = producer("resume", run, cwd=tmp_path)
    assert refused.code == 1, refused.err
    assert (run / "images.parquet").read_bytes() == before, "good tables are not made worse"
