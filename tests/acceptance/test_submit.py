"""`producer submit` as a user types it, with nothing configured: embedded broker, local workers, real detector."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from common.errors import ItemCode
from jobs.detect.reports import contact_sheet
from tests.acceptance.commands import BIN, environment, marked, only_run, producer
from tests.unit import pictures

#: What a run directory of a finished run holds, whatever else.
OUTPUTS = (
    "run.json",
    "images.parquet",
    "detections.parquet",
    "timings.parquet",
    "timings.json",
    "detections.coco.json",
    "detections.csv",
    "preview.jpg",
)


#: A line of a log, in text.
TIMED = re.compile(r"\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [A-Z]+ \S+( run=\S+)?\] ")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for number in range(6):
        path = folder / f"{number % 2}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pictures.jpeg())
    return folder


def test_a_folder_is_looked_at_and_everything_is_written(photos: Path, tmp_path: Path) -> None:
    said = producer("submit", "photos", "--json", cwd=tmp_path)
    assert said.code == 0, said.err
    run = only_run(tmp_path)
    assert said.json["run_id"] == run.name and (tmp_path / said.json["run_dir"]).samefile(run)
    assert (said.json["state"], said.json["items"], said.json["ok"], said.json["failed"]) == ("done", 6, 6, 0)
    assert said.json["images_per_s"] > 0 and len(said.json["digest"]) == 64
    assert all((run / name).is_file() for name in OUTPUTS)
    images = pq.read_table(run / "images.parquet").to_pylist()
    assert [row["path"] for row in images] == ["0/0.jpg", "0/2.jpg", "0/4.jpg", "1/1.jpg", "1/3.jpg", "1/5.jpg"]
    assert {row["status"] for row in images} == {"ok"}
    data = json.loads((run / "run.json").read_text())
    assert (data["state"], data["digest"]) == ("done", said.json["digest"])
    with Image.open(run / "preview.jpg") as preview:
        assert preview.width > 300
    timings = json.loads((run / "timings.json").read_text())
    assert timings["cpu_s"]["processes"] > 0
    assert "yolox-s" in said.err, "an embedded run says what hog cannot do, and what to use instead"
    assert "\x1b" not in said.err and "\r" not in said.err, "no control characters where there is no terminal"


def test_one_run_takes_every_kind_of_bad_input(tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    good = pictures.jpeg()
    contents = {
        b"a.jpg": good,
        b"a.png": pictures.png(),
        b"new\nline,comma\"quote'.jpg": good,
        "\N{CAMERA} emoji.jpg".encode(): good,
        b"not-utf8-\xff\xfe.jpg": good,
        b"one/same.jpg": good,
        b"two/same.jpg": good,
        b"grey.png": pictures.encoded("PNG", mode="L"),
        b"palette.png": pictures.encoded("PNG", mode="P"),
        b"alpha.png": pictures.encoded("PNG", mode="RGBA"),
        b"cmyk.jpg": pictures.encoded("JPEG", mode="CMYK"),
        b"deep.png": pictures.deep_png(pictures.deep_scene()),
        b"moving.gif": pictures.animation("GIF"),
        b"moving.webp": pictures.animation("WEBP"),
        b"turned.jpg": pictures.rotated("JPEG", 6),
        b"x-empty.jpg": b"",
        b"x-cut.jpg": pictures.cut(good),
        b"x-text.jpg": b"this is not a picture\n",
        b"x-huge.png": pictures.huge("PNG"),
    }
    for name, data in contents.items():
        path = os.fsencode(folder) + b"/" + name
        os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120 - the name is bytes
        with open(path, "wb") as file:  # noqa: PTH123
            file.write(data)
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    said = producer("submit", "mixed", "mixed/a.jpg", "--json", cwd=tmp_path)
    assert said.code == 3, said.err
    run = only_run(tmp_path)
    rows = {row["path_bytes"] or row["path"].encode(): row for row in pq.read_table(run / "images.parquet").to_pylist()}
    assert set(rows) == set(contents), "each exactly once"
    failed = {path: row["error_code"] for path, row in rows.items() if row["status"] == "failed"}
    assert failed == {
        b"x-empty.jpg": ItemCode.EMPTY,
        b"x-cut.jpg": ItemCode.TRUNCATED,
        b"x-text.jpg": ItemCode.NOT_AN_IMAGE,
        b"x-huge.png": ItemCode.TOO_LARGE,
    }
    assert rows[b"turned.jpg"]["exif_orientation"] == 6
    assert (rows[b"turned.jpg"]["width"], rows[b"turned.jpg"]["height"]) == (64, 48)
    listing = json.loads((run / "run.json").read_text())["listing"]
    assert (listing["items"], listing["repeated"], listing["link_loops"]) == (len(contents), 1, 1)


def test_a_file_that_vanishes_is_a_row(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "some.txt").write_text("photos/0/0.jpg\nphotos/gone.jpg\n")
    said = producer("submit", "some.txt", "--json", cwd=tmp_path)
    assert (said.code, said.json["errors"]) == (3, {"not_found": 1})


def test_no_permission_is_a_row(photos: Path, tmp_path: Path) -> None:
    (photos / "0/0.jpg").chmod(0)
    code, answer = submit_without_root_rights(tmp_path)
    assert (code, answer["errors"]) == (3, {"no_permission": 1})


def submit_without_root_rights(cwd: Path) -> tuple[int, dict[str, object]]:
    """Root may read everything; give that right up first."""
    command = [str(BIN / "producer"), "submit", "photos", "--json"]
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("running as root, and there is no setpriv to drop the right to read everything")
        rights = "-dac_override,-dac_read_search"
        command = ["setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}", *command]
    done = subprocess.run(command, cwd=cwd, env=environment(), capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], ["nowhere", "does not exist"]),
        (["empty"], ["empty", "is empty"]),
        (["texts"], ["texts", "no images"]),
        (["photos", "--conf", "7"], ["--conf 7", "out of range"]),
        (["photos", "--conf", "0.1", "--floor", "0.2"], ["--conf 0.1", "floor"]),
        (["photos", "--conf", "0.005"], ["--conf 0.005", "floor"]),
        (["photos", "--truth", "nope.json"], ["nope.json"]),
        (["photos", "0.png", "--format", "yolo,csv"], ["0/0.jpg and 0/0.png", "--exclude"]),
        (["photos", "--exclude", "*.j*"], ["--exclude '*.j*' leaves nothing of"]),
        (["gone.txt"], ["names 2 files, and none of them is there", "'x/1.jpg' (line 1)"]),
        (["photos", "--output", "gone.txt"], ["gone.txt", "choose another --output"]),
        (["photos", "--output=~nobody-of-this-name/x"], ["no user 'nobody-of-this-name'"]),
        (["photos", "--detector", "hog,cascade"], ["hog,cascade", "one detector"]),
        (["photos", "--detector", ""], ["--detector is empty"]),
        (["-", "--detach"], ["--detach", "standard input"]),
        (["photos", "--iou", "0"], ["--iou 0", "out of range"]),
        (["photos", "--imgsz", "640"], ["--imgsz 640", "hog"]),
        (["photos", "--classes", "persn"], ["'persn'", "person"]),
        (["photos", "--max-det", "0"], ["--max-det 0"]),
        (["photos", "--format", "xml"], ["--format xml", "coco"]),
        (["photos", "--shard-size", "0"], ["--shard-size 0", "auto"]),
        (["photos", "--detector", "hogg"], ["hogg", "hog"]),
        (["photos", "--detector", "missing.onnx"], ["missing.onnx"]),
        (["photos", "--detector", "empty.onnx"], ["empty.onnx", "empty"]),
        (["photos", "--detector", "text.onnx"], ["text.onnx"]),
    ],
)
def test_what_cannot_be_done_is_one_line_and_leaves_nothing(
    arguments: list[str], words: list[str], photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts/a.txt").write_text("a")
    (tmp_path / "empty.onnx").write_bytes(b"")
    (tmp_path / "text.onnx").write_text("not a model")
    (tmp_path / "gone.txt").write_text("x/1.jpg\nx/2.jpg\n")
    if "0.png" in arguments:
        arguments = [*arguments[:1], "photos/0/0.png", *arguments[2:]]
        (photos / "0/0.png").write_bytes(pictures.png())
    said = producer("submit", *arguments, cwd=tmp_path)
    assert said.code == 2, said.err
    assert all(word in said.error for word in words), said.error
    assert "Traceback" not in said.err
    runs = tmp_path / "runs"
    assert not runs.exists() or not list(runs.iterdir())


def test_a_folder_is_submitted_again_beside_its_runs_and_what_is_passed_over_is_told(
    photos: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for name in ("@eaDir/0.jpg", "._0.jpg", "clip.mov", "1/raw.cr2", "thumbs/0.jpg"):
        (photos / name).parent.mkdir(exist_ok=True)
        (photos / name).write_bytes(pictures.jpeg())
    options = ("--exclude", "thumbs/", "--exclude", "nothing.*")
    home = tmp_path_factory.mktemp("home")
    assert producer("submit", ".", "--output=~/runs", cwd=tmp_path, HOME=str(home)).code == 0
    assert only_run(home).is_dir() and not (tmp_path / "~").exists()
    first = producer("submit", ".", *options, cwd=tmp_path)
    assert first.code == 0, first.err
    passed_over = "2 other files (1 .cr2, 1 .mov), 1 hidden, 1 thumbnail or system file (@eaDir, Thumbs.db, ...)"
    assert f"passed over  {passed_over}, 1 run directory, 1 excluded" in first.out
    assert "--exclude 'nothing.*' has matched nothing" in first.err
    again = producer("submit", ".", "--json", cwd=tmp_path, MANYEYES_EXCLUDE="thumbs,*.cr2")
    assert (again.code, again.json["items"], again.json["passed_over"]["run_dirs"]) == (0, 6, 2)
    assert again.json["passed_over"]["excluded"] == 2
    assert producer("submit", again.json["run_dir"], cwd=tmp_path).error.startswith("folder ")


def test_what_a_list_means_does_not_change_until_the_run_is_resumed(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set/list.txt").write_bytes(
        b"path,label\r\nphotos\\0\\0.jpg,1\r\nphotos\\1\\1.jpg,1\r\nphotos\\gone.jpg,2\r\n"
    )
    said = producer("submit", "set/list.txt", "--exclude", "1.jpg", "--json", cwd=tmp_path)
    assert (said.code, said.json["errors"]) == (3, {"not_found": 1}), said.err
    assert "is taken for" in said.err and "relative to" in said.err and "was skipped: 'path,label'" in said.err
    # As a kill before the listing had ended would leave it.
    run = only_run(tmp_path)
    (run / "manifest/complete.json").unlink()
    data = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**data, "state": "running"}))
    (tmp_path / "set/list.txt").unlink()
    (tmp_path / "photos\\0\\0.jpg,1").write_bytes(pictures.jpeg())
    again = producer("resume", "--json", cwd=tmp_path)
    assert (again.code, again.json["digest"]) == (3, said.json["digest"]), again.err


def test_an_export_that_cannot_be_written_does_not_undo_the_run(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "truth.json").write_text(
        '{"images": [{"id": 1, "file_name": "other.jpg"}], "categories": [{"id": 1, "name": "person"}]}'
    )
    said = producer("submit", "photos", "--format", "coco,csv", "--truth", "truth.json", "--json", cwd=tmp_path)
    assert said.code == 1 and "coco was not written" in said.err
    assert (said.json["state"], said.json["missing"], said.json["ok"]) == ("done", ["coco"], 6)
    run = only_run(tmp_path)
    assert (run / "detections.csv").is_file() and (run / "preview.jpg").is_file()
    assert json.loads((run / "run.json").read_text())["state"] == "done"
    assert producer("results", "--format", "csv,jsonl", "--to", ".", cwd=tmp_path).code == 0
    (tmp_path / "full").mkdir()
    (tmp_path / "full/yolo.txt").touch()
    for to, words in (("detections.csv/x", "is no folder"), ("full", "not an empty folder")):
        refused = producer("results", "--format", "yolo", "--to", to, cwd=tmp_path)
        assert refused.code == 2 and words in refused.error


def test_a_run_directory_that_cannot_be_read_hides_no_other(photos: Path, tmp_path: Path) -> None:
    assert producer("submit", "photos", "--limit", "1", cwd=tmp_path).code == 0
    (tmp_path / "runs/0broken").mkdir()
    (tmp_path / "runs/0broken/run.json").write_text('{"schema": 99}')
    (tmp_path / "runs/1strange").mkdir()
    (tmp_path / "runs/1strange/run.json").write_text('{"schema": 1, "state": "asleep"}')
    said = producer("runs", "--json", cwd=tmp_path)
    assert said.code == 0 and len(json.loads(said.out)) == 1 and "0broken" in said.err and "asleep" in said.err


def test_results_are_filtered_again_without_a_worker(photos: Path, tmp_path: Path) -> None:
    assert producer("submit", "photos", "--json", "--conf", "0.02", cwd=tmp_path).code == 0
    said = producer("results", "--conf", "0.9", "--format", "jsonl", "--to", "strict.jsonl", cwd=tmp_path)
    assert said.code == 0, said.err
    assert len((tmp_path / "strict.jsonl").read_text().splitlines()) == 6
    low = producer("results", "--conf", "0.001", cwd=tmp_path)
    assert low.code == 2 and "floor" in low.error


def test_runs_are_listed_and_found(photos: Path, tmp_path: Path) -> None:
    assert "no runs" in producer("runs", cwd=tmp_path).err
    first = producer("submit", "photos", "--json", "--limit", "2", "--name", "two", cwd=tmp_path).json
    assert first["items"] == 2
    [line] = json.loads(producer("runs", "--json", cwd=tmp_path).out)
    assert (line["run_id"], line["state"], line["name"], line["done"]) == (first["run_id"], "done", "two", 2)
    prefix = first["run_id"][:-3]
    assert "done, 2/2 images" in producer("status", prefix, cwd=tmp_path).out
    assert producer("watch", cwd=tmp_path).code == 0
    refused = producer("cancel", prefix, cwd=tmp_path)
    assert refused.code == 2 and "done" in refused.error
    again = producer("resume", prefix, "--json", cwd=tmp_path)
    assert again.code == 0 and again.json == first, "nothing was missing"
    assert "begins with" in producer("status", "1999", cwd=tmp_path).error


def test_a_detached_run_goes_on_by_itself(photos: Path, tmp_path: Path) -> None:
    said = producer("submit", "photos", "--detach", cwd=tmp_path)
    assert said.code == 0, said.err
    run = said.out.strip()
    followed = producer("watch", run, cwd=tmp_path)
    assert followed.code == 0, followed.err
    folder = tmp_path / "runs" / run
    assert (folder / "images.parquet").is_file()
    # What it says has a time; its result, at the end, is the table that it would print.
    said_there, _, _ = (folder / "logs" / "owner.log").read_text().partition("\nrun   ")
    assert f"{run}: done" in followed.out and " images/s" in said_there
    assert all(TIMED.match(line) for line in said_there.splitlines()), said_there
    refused = producer("submit", "nowhere", "--detach", cwd=tmp_path)
    assert refused.code == 2 and "nowhere" in refused.error
    refused = producer("submit", "nowhere", "--log", "text", cwd=tmp_path)
    assert TIMED.match(refused.err) and "error: " in refused.err


def test_nothing_survives_the_end(photos: Path, tmp_path: Path) -> None:
    mark = tmp_path.name
    assert producer("submit", "photos", cwd=tmp_path, MANYEYES_TEST_MARK=mark).code == 0
    assert marked(mark) == []


@pytest.mark.real
def test_all_hard_images_in_one_run(tmp_path: Path) -> None:
    hard = Path(os.environ.get("MANYEYES_SHARED", Path(__file__).parents[2] / "../shared")) / "data/hard-images"
    if not hard.is_dir():
        pytest.skip("the hard images are not beside this checkout")
    files = [path for path in hard.rglob("*") if path.is_file() and path.name != "MANIFEST.tsv"]
    (tmp_path / "hard.txt").write_bytes(b"\0".join(os.fsencode(path.resolve()) for path in files))
    said = producer("submit", "hard.txt", "--detector", "cascade", "--json", cwd=tmp_path)
    assert said.code == 3, said.err
    assert said.json["items"] == len(files) == said.json["ok"] + said.json["failed"]
    assert said.json["ok"] > 50 and said.json["failed"] > 50 and "crashed" not in said.json["errors"]


def test_a_scale_maps_deep_images_and_the_run_says_so(tmp_path: Path) -> None:
    """Also when it goes on, when its outputs are made again, and in the receipt."""
    folder = tmp_path / "thermal"
    folder.mkdir()
    (folder / "a.png").write_bytes(pictures.deep_png(pictures.deep_scene() // 16))
    (folder / "b.tif").write_bytes(pictures.tiff(pictures.deep_scene()))
    (folder / "c.jpg").write_bytes(pictures.jpeg())
    (folder / "d.tif").write_bytes(pictures.tiff(pictures.deep_scene().astype("f4")))
    said = producer("submit", "thermal", "--detector", "cascade", cwd=tmp_path)
    assert said.code == 3, said.err
    assert "2 images of more than 8 bits a channel" in said.out and "--scale 2%:98%" in said.out
    shutil.rmtree(tmp_path / "runs")

    said = producer("submit", "thermal", "--detector", "cascade", "--scale", "2%:98%", "--json", cwd=tmp_path)
    assert said.code == 0, said.err
    assert (said.json["deep"], said.json["scale"]) == (3, "2%:98%")
    run = only_run(tmp_path)
    data = json.loads((run / "run.json").read_text())
    assert data["spec"]["scale"] == "2%:98%" and data["counts"]["deep"] == 3
    with Image.open(run / "preview.jpg") as preview:
        bright = np.asarray(preview.convert("L"))[
            contact_sheet.MARGIN + contact_sheet.HEADING :, contact_sheet.MARGIN :
        ][: contact_sheet.HEIGHT, : contact_sheet.WIDTH]
    assert bright.max() > 240 and np.median(bright) > 100
    (run / "images.parquet").unlink()
    again = producer("resume", "--json", cwd=tmp_path)
    assert (again.json["deep"], again.json["digest"]) == (3, said.json["digest"]), again.err
    assert producer("verify", cwd=tmp_path).code == 0


def test_a_scale_that_is_none_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(pictures.png())
    said = producer("submit", "a.png", "--scale", "4000:0", cwd=tmp_path)
    assert said.code == 2 and "--scale 4000:0" in said.error and "--scale 0:4000" in said.error
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").iterdir())
