"""The demo's images are the same each time and hold what their truth says; a run is scored as documented."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from demo import score
from demo.canvas import Canvas
from demo.figures import draw_walker, random_walker
from demo.make_dataset import make_dataset
from demo.scene import HEIGHT, WIDTH, Box
from demo.streets import draw_street


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("skimage", reason="the demo extra is not installed")
    pytest.importorskip("matplotlib", reason="the demo extra is not installed")
    folder = tmp_path_factory.mktemp("dataset")
    make_dataset(folder, images=14, seed=3)
    return folder


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_same_seed_gives_the_same_bytes(dataset: Path, tmp_path: Path) -> None:
    make_dataset(tmp_path, images=20, seed=4)
    other = _contents(tmp_path)
    make_dataset(tmp_path, images=14, seed=3)
    assert _contents(tmp_path) == _contents(dataset) != other


def test_truth_names_every_image_and_its_boxes_are_inside(dataset: Path) -> None:
    truth = json.loads((dataset / "truth.json").read_text())
    images = {image["id"]: image for image in truth["images"]}
    assert {image["file_name"] for image in images.values()} == {
        str(path.relative_to(dataset)) for path in dataset.glob("*/*.jpg")
    }
    assert {category["name"] for category in truth["categories"]} == {"person", "face"}
    for image in images.values():
        pixels = cv2.imread(str(dataset / image["file_name"]))
        assert pixels is not None and pixels.shape == (image["height"], image["width"], 3)
    for annotation in truth["annotations"]:
        x, y, width, height = annotation["bbox"]
        assert x >= 0 and y >= 0 and width > 10 and height > 10
        assert x + width <= WIDTH + 0.1 and y + height <= HEIGHT + 0.1


def test_a_walker_is_drawn_where_its_box_says() -> None:
    for seed in range(8):
        before, after = Canvas(), Canvas()
        for canvas in (before, after):
            canvas.rectangle(0, 0, WIDTH, HEIGHT, (255, 255, 255))
        walker = random_walker(np.random.default_rng(seed))
        box = draw_walker(after, walker, (320, 400), 200, sun=1)
        assert 185 < box.y2 - box.y1 < 215 and 394 < box.y2 < 406
        changed = np.abs(before.develop((1, 1, 1)) - after.develop((1, 1, 1))).max(axis=2) > 8
        above_ground = np.argwhere(changed[:380])
        assert abs(above_ground[:, 0].min() - box.y1) < 2
        body = changed[int(box.y1) : 380, int(box.x1) : int(box.x2) + 1]
        assert body.sum() > 0.3 * (box.x2 - box.x1) * (380 - box.y1)


def test_opencv_finds_most_of_the_walkers() -> None:
    hog = cv2.HOGDescriptor()
    hog.setSVMDetector(cv2.HOGDescriptor.getDefaultPeopleDetector())
    found = true = 0
    for number in range(8):
        scene = draw_street(np.random.default_rng([7, number]))
        windows, _ = hog.detectMultiScale(scene.pixels, winStride=(8, 8), padding=(16, 16), scale=1.05)
        trimmed = [Box(x + w / 5, y + h / 10, x + w * 4 / 5, y + h * 9 / 10) for x, y, w, h in windows]
        tally = score.match(trimmed, [one.box for one in scene.truth])
        found, true = found + tally.found, true + tally.true
    assert true > 15
    assert found / true > 0.7


def test_opencv_finds_the_faces_where_the_truth_has_them(dataset: Path) -> None:
    finder = cv2.CascadeClassifier(f"{cv2.data.haarcascades}haarcascade_frontalface_default.xml")
    truth = score.read_truth(dataset / "truth.json")
    found = true = 0
    for path in sorted((dataset / "faces").iterdir()):
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        assert image is not None
        faces = [Box(x, y, x + w, y + h) for x, y, w, h in finder.detectMultiScale(image, 1.1, 3)]
        tally = score.match(faces, [one.box for one in truth.images[path] if one.label == "face"])
        found, true = found + tally.found, true + tally.true
    assert true > 5
    assert found / true > 0.8


def test_each_true_box_is_found_once() -> None:
    left, right = Box(0, 0, 10, 10), Box(20, 0, 30, 10)
    near_left = Box(1, 0, 11, 10)
    assert score.match([near_left, left], [left, right]) == score.Tally(images=1, true=2, found=1, extra=1)
    assert score.match([right, left], [left, right]) == score.Tally(images=1, true=2, found=2, extra=0)
    assert score.match([Box(6, 0, 16, 10)], [left]) == score.Tally(images=1, true=1, found=0, extra=1)
    assert score.match([], []).recall is None


def _write_run(folder: Path, root: Path, labels: list[str], rows: list[tuple[int, str, str, float, Box]]) -> Path:
    """A run directory over `root`, whose detections are (item, path, label, score, box)."""
    folder.mkdir()
    paths = sorted(str(path.relative_to(root)) for path in root.rglob("*.jpg"))
    pq.write_table(
        pa.table({"item": range(len(paths)), "path": paths, "status": ["ok"] * len(paths)}),
        folder / "images.parquet",
    )
    columns = {
        "item": [row[0] for row in rows],
        "path": [row[1] for row in rows],
        "label": [row[2] for row in rows],
        "score": pa.array([row[3] for row in rows], pa.float32()),
        **{side: pa.array([getattr(row[4], side) for row in rows], pa.float32()) for side in ("x1", "y1", "x2", "y2")},
    }
    pq.write_table(pa.table(columns), folder / "detections.parquet")
    spec = {"root": str(root), "labels": labels, "conf": 0.4}
    (folder / "run.json").write_text(json.dumps({"spec": spec}))
    return folder


def _true_rows(truth: score.Truth, root: Path, label: str, confidence: float) -> list[tuple[int, str, str, float, Box]]:
    paths = sorted(path for path in truth.images if path.is_relative_to(root))
    return [
        (item, str(path.relative_to(root)), label, confidence, one.box)
        for item, path in enumerate(paths)
        for one in truth.images[path]
        if one.label == label
    ]


def test_a_run_over_a_subfolder_is_held_against_the_whole_truth(dataset: Path, tmp_path: Path) -> None:
    truth = score.read_truth(dataset / "truth.json")
    rows = _true_rows(truth, dataset / "faces", "face", 0.9)
    rows.append((0, rows[0][1], "face", 0.5, Box(0, 0, 5, 5)))
    rows.append((0, rows[0][1], "face", 0.3, Box(5, 0, 9, 5)))
    run = _write_run(tmp_path / "run", dataset / "faces", ["face"], rows)
    tallies = score.score(score.read_run(run), truth)
    images = len(list((dataset / "faces").iterdir()))
    true = len(rows) - 2
    assert tallies == {("faces", "face"): score.Tally(images=images, true=true, found=true, extra=1)}


def test_a_run_over_all_is_tallied_by_folder(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = score.read_truth(dataset / "truth.json")
    people = _true_rows(truth, dataset, "person", 0.9)
    streets = [row for row in people if row[1].startswith("streets/")]
    run = _write_run(tmp_path / "run", dataset, ["person", "bicycle"], streets)
    tallies = score.score(score.read_run(run), truth)
    assert tallies["streets", "person"].recall == tallies["streets", "person"].precision == 1
    assert tallies["faces", "person"].recall == 0 and tallies["faces", "person"].precision is None
    assert score.main([str(run), str(dataset / "truth.json")]) == 0
    shown = capsys.readouterr().out
    assert "streets/" in shown and "faces/" in shown and "all" in shown


def test_what_cannot_be_compared_is_said_in_one_line(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.jpg").touch()
    strange = _write_run(tmp_path / "strange", other, ["person"], [])
    assert score.main([str(strange), str(dataset / "truth.json")]) == 1
    assert "no image of the run is in the truth" in capsys.readouterr().err
    horses = _write_run(tmp_path / "horses", dataset, ["horse"], [])
    assert score.main([str(horses), str(dataset / "truth.json")]) == 1
    assert "horse" in capsys.readouterr().err
