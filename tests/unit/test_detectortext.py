"""What --detector takes: names, paths with any character in them, and several."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import ModelError, UsageError
from common.settings import Settings
from jobs.detect.models import detector_names
from jobs.detect.models.detector_names import DetectorText, split
from producer.run.plan import absolute_detector, absolute_detectors


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


def put(path: str) -> str:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"x")
    return path


@pytest.mark.parametrize(
    ("there", "typed", "name", "path"),
    [
        (None, "hog", "hog", None),
        (None, "yolox-s", "yolox-s", None),
        (None, "best-v1.2", "best-v1.2", None),
        (None, "best-v1.2-0a1b2c3d", "best-v1.2-0a1b2c3d", None),
        ("hog", "hog", "hog", None),
        (None, "best.onnx", "best", "best.onnx"),
        (None, "BEST.ONNX", "BEST", "BEST.ONNX"),
        (None, " best.onnx ", "best", "best.onnx"),
        (None, "people=best.onnx", "people", "best.onnx"),
        ("lr=0.01/best.onnx", "lr=0.01/best.onnx", "best", "lr=0.01/best.onnx"),
        (None, "lr=0.01/best.onnx", "lr", "0.01/best.onnx"),
        (None, "runs/lr=0.01/best.onnx", "best", "runs/lr=0.01/best.onnx"),
        ("a,b/best.onnx", "a,b/best.onnx", "best", "a,b/best.onnx"),
        ("a=b.onnx", "mine=a=b.onnx", "mine", "a=b.onnx"),
        ("my models/b (1).onnx", "mine=my models/b (1).onnx", "mine", "my models/b (1).onnx"),
        (None, "./best.onnx", "best", "best.onnx"),
        (None, "runs/train/weights/", "weights", "runs/train/weights"),
    ],
)
def test_a_path_that_exists_is_a_path(there: str | None, typed: str, name: str, path: str | None) -> None:
    if there:
        put(there)
    parsed = DetectorText.parse(typed)
    assert (parsed.name, parsed.path) == (name, path and Path(path))


def test_a_tilde_is_the_users_home(folder: Path) -> None:
    assert DetectorText.parse("~/best.onnx").path == folder / "home/best.onnx"
    assert DetectorText.parse("mine=~/x.onnx") == DetectorText("mine", folder / "home/x.onnx")
    with pytest.raises(UsageError, match="no user 'nobody-of-that-name' here"):
        DetectorText.parse("~nobody-of-that-name/best.onnx")


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("https://example.com/best.onnx", "download the file first"),
        ("mine=https://example.com/best.onnx", "download the file first"),
        ("s3://bucket/best.onnx?x=1", "download the file first"),
        (r"C:\models\best.onnx", "/mnt/c"),
        ("C:/models/best.onnx", "/mnt/c"),
        ("people=", "no path after the `=`"),
        ("my model.onnx", "--detector NAME='my model.onnx'"),
        ("two words", "may hold letters"),
    ],
)
def test_what_can_be_no_detector_is_refused_with_the_remedy(typed: str, words: str) -> None:
    with pytest.raises(ModelError, match=r".*") as raised:
        DetectorText.parse(typed)
    assert words in str(raised.value)


def test_a_comma_in_the_path_of_a_file_separates_nothing() -> None:
    put("a,b/best.onnx")
    several = detector_names.split("hog, a,b/best.onnx,mine=a,b/best.onnx")
    assert several == ("hog", "a,b/best.onnx", "mine=a,b/best.onnx")
    assert detector_names.split("a,b.onnx,,c") == ("a", "b.onnx", "c")
    assert split(Settings(detector="hog,a,b/best.onnx").detector) == ("hog", "a,b/best.onnx")


def test_a_run_has_one_detector() -> None:
    for text, words in (("hog,cascade", "one detector"), (" ", "--detector is empty")):
        with pytest.raises(ModelError, match=words):
            absolute_detector(text)


@pytest.mark.parametrize("typed", ["hog", "best.onnx", "mine=best.onnx", "lr=0.01/best.onnx", "a,b/best.onnx"])
def test_an_absolute_detector_is_the_same_from_another_folder(
    typed: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "/" in typed:
        put(typed)
    before = DetectorText.parse(typed)
    absolute, several = absolute_detector(typed), absolute_detectors(f"{typed},cascade")
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    after = DetectorText.parse(absolute)
    assert (after.name, after.path) == (before.name, before.path and folder / before.path)
    assert detector_names.split(several) == (absolute, "cascade")
