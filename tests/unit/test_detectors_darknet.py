"""Darknet files: the threshold that hides low scores, pairs, and damage that OpenCV does not notice."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from common.errors import ItemError, ModelError, UsageError
from jobs.detect.detectors.base import Detections, DetectOptions, ModelSource
from jobs.detect.detectors.darknet import DarknetDetector, family
from jobs.detect.detectors.labels import COCO
from producer.cluster.connect import weights_sha256
from tests.unit import darknet_files

SHARED = Path(os.environ.get("MANYEYES_SHARED", Path(__file__).resolve().parents[2] / ".." / "shared")).resolve()
real = [
    pytest.mark.real,
    pytest.mark.skipif(not SHARED.is_dir(), reason="no shared models beside the checkout"),
]


def load(path: Path, **options: Path | str) -> DarknetDetector:
    return family.load(ModelSource("made", path, **options))


def look(detector: DarknetDetector, image: np.ndarray, floor: float = 0.01) -> Detections:
    options = DetectOptions(detector.info.default_iou, floor)
    return detector.postprocess(detector.infer(detector.preprocess(image, options)), image, options)


@pytest.mark.parametrize("section", ["yolo", "region"])
def test_a_red_square_is_found_where_it_is(section: str, tmp_path: Path) -> None:
    image = np.zeros((128, 64, 3), np.uint8)
    image[64:80, 32:40] = (0, 0, 255)
    found = look(load(darknet_files.save(tmp_path, section=section)), image, 0.5)
    assert found.boxes.tolist() == [[32, 64, 40, 80]]
    assert found.class_ids.tolist() == [0]


@pytest.mark.parametrize("section", ["yolo", "region"])
def test_scores_under_the_thresholds_of_the_cfg_and_of_opencv_are_found(section: str, tmp_path: Path) -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[:8, :8] = (0, 0, 80)
    low = look(load(darknet_files.save(tmp_path, section=section)), image)
    assert len(low.scores) > 0
    assert low.scores.max() < 0.2


@pytest.mark.parametrize("suffix", [".cfg", ".weights"])
def test_either_file_finds_the_other(suffix: str, tmp_path: Path) -> None:
    path = darknet_files.save(tmp_path).with_suffix(suffix)
    assert load(path).info.weights_sha256 == load(path.with_suffix(".cfg")).info.weights_sha256
    path.with_suffix(".weights" if suffix == ".cfg" else ".cfg").unlink()
    with pytest.raises(ModelError, match=r"made.\w+ is not beside it; put both files into one folder"):
        load(path)


@pytest.mark.parametrize(
    ("cfg", "there", "taken"),
    [
        ("yolo-obj", ["yolo-obj_best"], "yolo-obj_best"),
        ("yolo-obj", ["yolo-obj_1000", "yolo-obj_last", "yolo-obj_final", "yolo-obj_best"], "yolo-obj_best"),
        ("yolo-obj", ["yolo-obj_1000", "yolo-obj_last", "yolo-obj_final"], "yolo-obj_final"),
        ("yolo-obj", ["yolo-obj_1000", "yolo-obj_2000", "yolo-obj_last"], "yolo-obj_last"),
        ("yolo-obj", ["yolo-obj_2000", "other"], "yolo-obj_2000"),
        ("yolo-obj", ["yolo-obj_best", "yolo-obj"], "yolo-obj"),
        ("yolo-obj", ["other_best", "yolo-obj_best"], "yolo-obj_best"),
        ("yolo-obj", ["YOLO-OBJ_BEST"], "YOLO-OBJ_BEST"),
        ("yolo-obj-test", ["yolo-obj_best"], "yolo-obj_best"),
        ("yolo-obj_testing", ["yolo-obj"], "yolo-obj"),
        ("yolo-obj", ["backup"], "backup"),
    ],
)
def test_weights_are_found_by_the_names_that_training_gives_them(
    cfg: str, there: list[str], taken: str, tmp_path: Path
) -> None:
    path = darknet_files.save(tmp_path, name=cfg)
    content = path.with_suffix(".weights").read_bytes()
    path.with_suffix(".weights").unlink()
    for name in there:
        # Those of the others do not fit.
        (tmp_path / f"{name}.weights").write_bytes(content if name == taken else b"none")
    info = load(path).info
    said = f"{cfg}.cfg runs with the weights in {taken}.weights. "
    assert info.caution.startswith(said) == (cfg != taken)
    assert info.weights_sha256 == weights_sha256(path, None)
    # The other way round.
    assert load(tmp_path / f"{taken}.weights").info.weights_sha256 == info.weights_sha256


def test_weights_that_cannot_be_told_are_listed_and_can_be_given(tmp_path: Path) -> None:
    path = darknet_files.save(tmp_path, name="yolo-obj")
    weights = path.with_suffix(".weights").rename(tmp_path / "yolo-obj_1000.weights")
    (tmp_path / "yolo-obj_2000.weights").write_bytes(b"none")
    with pytest.raises(ModelError, match=r"which of yolo-obj_1000.weights, yolo-obj_2000.weights are its weights\?"):
        load(path)
    info = load(path, weights=weights).info
    assert info.weights_sha256 == weights_sha256(path, str(weights))
    assert "runs with the weights in yolo-obj_1000.weights" in info.caution
    with pytest.raises(ModelError, match=r"yolo-obj_2000.weights cannot be loaded"):
        load(path, weights=tmp_path / "yolo-obj_2000.weights")
    with pytest.raises(ModelError, match=r"none.weights does not exist"):
        load(path, weights=tmp_path / "none.weights")
    with pytest.raises(ModelError, match=r"goes with a .cfg"):
        load(weights, weights=weights)


def test_of_several_models_in_a_folder_none_is_taken_by_chance(tmp_path: Path) -> None:
    path = darknet_files.save(tmp_path, name="a")
    weights = path.with_suffix(".weights").rename(tmp_path / "other.weights")
    darknet_files.save(tmp_path, name="b")
    for given, words in ((path, "are its weights"), (weights, "is its cfg")):
        with pytest.raises(ModelError, match=words):
            load(given)


def test_endings_may_be_upper_case(tmp_path: Path) -> None:
    path = darknet_files.save(tmp_path)
    path.with_suffix(".weights").rename(tmp_path / "made.WEIGHTS")
    path = path.rename(tmp_path / "made.CFG")
    assert load(path).info.caution.startswith("Scores of")
    assert load(path).info.weights_sha256 == weights_sha256(path, None)


@pytest.mark.parametrize("section", ["yolo", "region"])
def test_weights_that_give_no_numbers_fail_the_image(section: str, tmp_path: Path) -> None:
    path = darknet_files.save(tmp_path, section=section)
    weights = path.with_suffix(".weights")
    content = bytearray(weights.read_bytes())
    # The objectness' bias, after 20 bytes of header and four others.
    content[36:40] = np.float32(np.nan).tobytes()
    weights.write_bytes(content)
    with pytest.raises(ItemError, match="NaN instead of numbers"):
        look(load(path), np.zeros((64, 64, 3), np.uint8))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none.cfg"):
        load(tmp_path / "none.cfg")


@pytest.mark.parametrize("keep", [1, 10, 20, -4])
def test_weights_that_are_cut_short_are_refused_though_opencv_takes_them(keep: int, tmp_path: Path) -> None:
    path = darknet_files.save(tmp_path).with_suffix(".weights")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ModelError, match=r"cut short|cannot be loaded") as raised:
        load(path)
    assert "\n" not in str(raised.value)


def test_weights_of_another_cfg_are_refused(tmp_path: Path) -> None:
    path = darknet_files.save(tmp_path).with_suffix(".weights")
    path.write_bytes(path.read_bytes() + b"\0" * 400)
    with pytest.raises(ModelError, match="not this cfg's"):
        load(path)


@pytest.mark.parametrize(
    ("find", "replace", "says"),
    [
        ("[yolo]", "[softmax]", "no .yolo. or .region. section"),
        ("height=64\n", "", "is it whole"),
        ("classes=2", "classes=two", "is it whole"),
        ("[convolutional]", "[nonsense]", "cannot be loaded"),
    ],
)
def test_a_cfg_that_is_no_detectors_is_refused(find: str, replace: str, says: str, tmp_path: Path) -> None:
    cfg = darknet_files.save(tmp_path)
    cfg.write_text(cfg.read_text().replace(find, replace))
    with pytest.raises(ModelError, match=says) as raised:
        load(cfg)
    assert "\n" not in str(raised.value)


def test_labels_can_be_given_and_must_be_as_many_as_classes(tmp_path: Path) -> None:
    cfg = darknet_files.save(tmp_path)
    assert load(cfg).info.labels == ("class_0", "class_1")
    (tmp_path / "made.names").write_text("red\nblue\n")
    assert load(cfg).info.labels == ("red", "blue")
    (tmp_path / "made.names").unlink()
    (tmp_path / "obj.names").write_text("rot\nblau\n")
    assert load(cfg).info.labels == ("rot", "blau")
    (tmp_path / "coco.names").write_text("a\nb\n")
    assert load(cfg).info.labels == ("class_0", "class_1")
    (tmp_path / "obj.data").write_text("classes = 2\nnames = data/obj.names\nbackup = backup/\n")
    assert load(cfg).info.labels == ("rot", "blau")
    (tmp_path / "obj.names").write_text("three\nof\nthem\n")
    assert load(cfg).info.labels == ("class_0", "class_1")
    wrong = tmp_path / "wrong.txt"
    wrong.write_text("red\n")
    with pytest.raises(ModelError, match="has 2 classes"):
        load(cfg, labels=wrong)


def test_it_has_no_heads_and_no_other_size(tmp_path: Path) -> None:
    cfg = darknet_files.save(tmp_path)
    with pytest.raises(ModelError, match="--head yolox"):
        load(cfg, head="yolox")
    with pytest.raises(UsageError, match="leave out --imgsz"):
        load(cfg).preprocess(np.zeros((9, 9, 3), np.uint8), DetectOptions(0.5, 0.5, (96, 96)))


class TestReal:
    pytestmark = real

    def test_yolo_fastest_has_scores_under_a_fifth(self) -> None:
        detector = load(SHARED / "models" / "yolo-fastest-1.1.cfg")
        assert detector.info.labels == COCO
        images = sorted((SHARED / "data" / "coco-val100" / "images").glob("*.jpg"))[:10]
        scores = np.concatenate([look(detector, cv2.imread(str(path))).scores for path in images])
        assert (scores < 0.2).sum() > 20
        assert (scores > 0.5).sum() > 5

    def test_the_network_of_one_class(self) -> None:
        assert load(SHARED / "models" / "yolo-fastest-1.1_body.weights").info.labels == ("class_0",)
