"""What is typed after --detector: names, paths, the registry's downloads, other packages' families, and mistakes."""

from __future__ import annotations

import functools
import hashlib
import http.server
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.errors import ModelError
from jobs.detect.detectors import load as models
from jobs.detect.detectors.base import Detector
from jobs.detect.models import model_zoo
from jobs.detect.models.model_zoo import NamedModel
from tests.unit import darknet_files, onnx_graphs


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the URL under which a real HTTP server shows it."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def load(text: str, folder: Path, **options: str | Path) -> Detector:
    return models.load(text, cache_dir=folder / "cache", **options)  # type: ignore[arg-type]


def refusal(text: str, folder: Path, **options: str | Path) -> str:
    with pytest.raises(ModelError) as raised:
        load(text, folder, **options)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def made(path: Path) -> NamedModel:
    data = onnx_graphs.yolov8(path).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    return NamedModel("made", f"https://models.invalid/{path.name}", digest, len(data), "made for a test")


@pytest.mark.parametrize("name", ["hog", "cascade"])
def test_a_built_in_is_loaded_by_its_name(name: str, tmp_path: Path) -> None:
    info = load(name, tmp_path).info
    assert (info.name, info.family) == (name, name)


def test_a_path_is_loaded_by_its_ending_and_named_by_its_stem(tmp_path: Path) -> None:
    info = load(str(onnx_graphs.yolov8(tmp_path / "best-v1.2.onnx")), tmp_path).info
    assert (info.name, info.family) == ("best-v1.2", "onnx")
    assert load(str(darknet_files.save(tmp_path, name="tiny")), tmp_path).info.family == "darknet"


def test_endings_may_be_upper_case(tmp_path: Path) -> None:
    assert load(str(onnx_graphs.yolov8(tmp_path / "BEST.ONNX")), tmp_path).info.name == "BEST"


def test_a_path_may_be_given_another_name(tmp_path: Path) -> None:
    path = onnx_graphs.yolov8(tmp_path / "a=b (1).onnx")
    assert load(f"people={path}", tmp_path).info.name == "people"


def test_a_file_in_this_folder_needs_no_slash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    onnx_graphs.yolov8(tmp_path / "best.onnx")
    monkeypatch.chdir(tmp_path)
    assert load("best.onnx", tmp_path).info.name == "best"


def test_a_stem_that_cannot_be_a_name_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = onnx_graphs.yolov8(tmp_path / "my model.onnx")
    assert f"--detector NAME='{path}'" in refusal(str(path), tmp_path)


@pytest.mark.parametrize("text", ["", "two words", "-hog", "ho;g", "x" * 101])
def test_a_name_of_other_characters_is_refused(text: str, tmp_path: Path) -> None:
    assert "may hold letters" in refusal(text, tmp_path)


def test_an_unknown_name_is_answered_with_near_ones_and_all(tmp_path: Path) -> None:
    text = refusal("yolox_s", tmp_path)
    assert "did you mean yolox-s?" in text
    assert "cascade, hog, yolox-s, nanodet" in text
    assert "did you mean" not in refusal("zzzzz", tmp_path)


@pytest.mark.parametrize("name", ["onnx", "darknet"])
def test_a_family_that_needs_a_file_is_no_detector_by_itself(name: str, tmp_path: Path) -> None:
    assert f"unknown detector {name!r}" in refusal(name, tmp_path)


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("none.onnx", None, "does not exist"),
        ("none.weights", None, "does not exist"),
        ("empty.onnx", b"", "is empty (0 bytes)"),
        ("best.pt", b"x", "nothing here loads .pt; .cfg, .onnx, .weights do"),
        ("plain", b"x", "nothing here loads a file without an ending"),
    ],
)
def test_files_that_cannot_be_models(file: str, content: bytes | None, says: str, tmp_path: Path) -> None:
    path = tmp_path / file
    if content is not None:
        path.write_bytes(content)
    text = refusal(str(path), tmp_path)
    assert says in text
    assert str(path) in text


def test_a_folder_is_no_model_and_the_model_in_it_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "best_openvino.onnx"
    folder.mkdir()
    text = refusal(f"{folder}/", tmp_path)
    assert "is a folder; give a file that ends in .cfg, .onnx, .weights; none is in it" in text
    onnx_graphs.yolov8(folder / "best.onnx")
    assert f"give the file:  --detector {folder / 'best.onnx'}" in refusal(f"{folder}/", tmp_path)


@pytest.mark.parametrize(
    ("file", "remedy"),
    [
        ("best.pt", "yolo export model={path} format=onnx"),
        ("best.engine", "give the .onnx that it was made of"),
        ("best.onnx.data", "holds the weights of an .onnx file"),
        ("best.tflite", "export it to ONNX"),
    ],
)
def test_a_model_in_another_format_is_refused_with_what_to_do(file: str, remedy: str, tmp_path: Path) -> None:
    path = tmp_path / file
    path.write_bytes(b"x")
    assert remedy.format(path=path) in refusal(str(path), tmp_path)


def test_a_mistyped_file_is_answered_with_the_one_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    onnx_graphs.yolov8(tmp_path / "best.onnx")
    (tmp_path / "best.pt").write_bytes(b"x")
    for name in ("bets.onnx", "best"):
        assert f"did you mean {tmp_path / 'best.onnx'}?" in refusal(str(tmp_path / name), tmp_path)
    monkeypatch.chdir(tmp_path)
    assert "did you mean best.onnx?" in refusal("best", tmp_path)
    (tmp_path / "weights").mkdir()
    (tmp_path / "best.onnx").rename(tmp_path / "weights/best.onnx")
    assert "give the file:  --detector weights/best.onnx" in refusal("weights", tmp_path)


def test_a_path_with_an_equals_sign_that_does_not_exist_is_named_in_both_readings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "model 0.01/best.onnx does not exist (nor does lr=0.01/best.onnx)" in refusal("lr=0.01/best.onnx", tmp_path)


def test_a_path_with_an_equals_sign_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lr=0.01").mkdir()
    onnx_graphs.yolov8(tmp_path / "lr=0.01/best.onnx")
    monkeypatch.chdir(tmp_path)
    assert load("lr=0.01/best.onnx", tmp_path).info.name == "best"
    assert load("mine=lr=0.01/best.onnx", tmp_path).info.name == "mine"


@pytest.mark.parametrize("name", ["hog", "cascade"])
def test_weights_are_refused_where_there_are_none(name: str, tmp_path: Path) -> None:
    assert "only a Darknet .cfg has weights" in refusal(name, tmp_path, weights=tmp_path / "a.weights")
    path = onnx_graphs.yolov8(tmp_path / "best.onnx")
    assert "only a Darknet .cfg has weights" in refusal(str(path), tmp_path, weights=tmp_path / "a.weights")


@pytest.mark.parametrize("name", ["hog", "cascade"])
def test_head_and_labels_are_refused_where_they_do_nothing(name: str, tmp_path: Path) -> None:
    assert "--head yolox" in refusal(name, tmp_path, head="yolox")
    assert "--labels" in refusal(name, tmp_path, labels=tmp_path / "labels.txt")


def test_a_named_model_is_downloaded_once(tmp_path: Path, served: tuple[Path, str]) -> None:
    folder, url = served
    model = made(folder / "made.onnx")
    path = models.fetch(model, tmp_path / "cache", url)
    assert path.read_bytes() == (folder / "made.onnx").read_bytes()
    (folder / "made.onnx").unlink()
    assert models.fetch(model, tmp_path / "cache", url) == path


def test_a_mirror_may_be_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "mirror of models"
    folder.mkdir()
    model = made(folder / "made.onnx")
    assert models.fetch(model, tmp_path / "cache", folder.as_uri()).read_bytes() == (folder / "made.onnx").read_bytes()


def test_a_file_put_into_the_cache_by_hand_needs_no_network(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    model = made(cache / "made.onnx")
    assert models.fetch(model, cache, None) == cache / "made.onnx"


def test_another_file_under_its_name_is_never_kept(tmp_path: Path, served: tuple[Path, str]) -> None:
    folder, url = served
    (folder / model_zoo.MODELS[0].filename).write_bytes(b"something else")
    text = refusal("yolox-s", tmp_path, mirror=url)
    assert "SHA256" in text
    assert not list((tmp_path / "cache").iterdir())


def test_a_damaged_file_in_the_cache_is_replaced(tmp_path: Path, served: tuple[Path, str]) -> None:
    folder, url = served
    model = made(folder / "made.onnx")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "made.onnx").write_bytes(b"half of it")
    assert models.fetch(model, tmp_path / "cache", url).stat().st_size == model.bytes


def test_offline_the_error_names_the_url_the_mirror_and_the_place(tmp_path: Path) -> None:
    with socket.socket() as taken:
        # Bound but not listening: nothing can answer there.
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        text = refusal("nanodet", tmp_path, mirror=url)
    name = model_zoo.MODELS[1].filename
    for part in (f"{url}/{name}", "MANYEYES_MODEL_MIRROR", str(tmp_path / "cache" / name)):
        assert part in text


def test_a_name_missing_on_the_mirror_is_an_error(tmp_path: Path, served: tuple[Path, str]) -> None:
    assert "404" in refusal("nanodet", tmp_path, mirror=served[1])


def test_another_package_adds_a_family_and_its_own_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _install(tmp_path, "twin = twin_package:family")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load("twin", tmp_path).info.family == "hog"
    assert "twin" in model_zoo.families()


def test_a_family_that_does_not_load_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _install(tmp_path, "broken = twin_package:nothing")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "'broken' (twin_package:nothing) does not load" in refusal("broken", tmp_path)


def _install(folder: Path, entry: str) -> None:
    """What a wheel leaves behind: a module, and its entry points."""
    (folder / "twin_package.py").write_text("from jobs.detect.detectors.hog import family\n")
    info = folder / "twin_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: twin-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{model_zoo.ENTRY_POINT_GROUP}]\n{entry}\n")


def test_families_are_listed_without_loading_an_engine() -> None:
    code = (
        "import sys; from jobs.detect.models import model_zoo; print(*model_zoo.families());"
        "print([name for name in ('onnxruntime', 'cv2', 'jobs.detect.detectors') if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines() == ["cascade darknet hog onnx", "[]"]


def test_the_registry_is_sound() -> None:
    assert [model.name for model in model_zoo.MODELS] == ["yolox-s", "nanodet"]
    for model in model_zoo.MODELS:
        assert (len(bytes.fromhex(model.sha256)), model.filename.endswith(".onnx")) == (32, True)
    assert set(model_zoo.BUILT_IN) == {"hog", "cascade", "onnx", "darknet"}
