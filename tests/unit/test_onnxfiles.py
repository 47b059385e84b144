"""ONNX models whose weights lie in files beside them: where they are found, what is hashed, and what is refused."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from common.errors import ModelError
from common.images.image import Image
from jobs.detect.detectors.base import Detections, DetectOptions, ModelSource
from jobs.detect.detectors.onnx import OnnxDetector, family
from jobs.detect.models import onnx_files, onnx_schema
from producer.cluster.connect import weights_sha256
from tests.unit import onnx_graphs

NAMES = {"names": "['r', 'g', 'b']"}


def load(path: Path) -> OnnxDetector:
    return family.load(ModelSource("made", path))


def look(detector: OnnxDetector) -> Detections:
    image: Image = np.zeros((64, 64, 3), np.uint8)
    image[32:, 32:] = 255
    options = DetectOptions(0.5, 0.3)
    return detector.postprocess(detector.infer(detector.preprocess(image, options)), image, options)


def made(folder: Path, name: str = "best.onnx") -> Path:
    folder.mkdir(exist_ok=True)
    return onnx_graphs.apart(onnx_graphs.yolov8(folder / name))


def one_box() -> np.ndarray:
    """Outputs of a YOLOv8 of 128 pixels, 112 KB, with one box."""
    rows = np.zeros((1, 84, 336), np.float32)
    rows[0, :5, 7] = (64, 32, 20, 10, 0.9)
    return rows


def big(path: Path) -> Path:
    """A network that always finds one box: its output is one tensor, in a file beside it."""
    return onnx_graphs.apart(onnx_graphs.constant(path, one_box(), size=128, metadata={"task": "detect"}))


@pytest.mark.parametrize(
    "make",
    [
        onnx_graphs.yolox,
        onnx_graphs.yolov5,
        onnx_graphs.yolov8,
        lambda path: onnx_graphs.end2end(path, nms=True, metadata=NAMES),
        onnx_graphs.nanodet,
    ],
)
@pytest.mark.parametrize("least", [0, 200])
def test_a_model_in_two_files_finds_what_it_finds_in_one(
    make: Callable[[Path], Path], least: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = make(tmp_path / "one.onnx")
    for folder in ("two", "shell"):
        (tmp_path / folder).mkdir()
    two = onnx_graphs.apart(make(tmp_path / "two/best.onnx"), least=least)
    whole = look(load(one))
    assert len(whole.scores) > 0
    # Another model's data lies where the shell stands.
    (tmp_path / "shell/best.onnx.data").write_bytes(b"\x01" * 100_000)
    monkeypatch.chdir(tmp_path / "shell")
    for path in (two, Path("../two/best.onnx")):
        found = look(load(path))
        assert (found.boxes.tobytes(), found.scores.tobytes()) == (whole.boxes.tobytes(), whole.scores.tobytes())
    (tmp_path / "shell/best.onnx.data").unlink()
    assert len(look(load(two)).scores) == len(whole.scores)


def test_large_weights_are_given_to_the_engine_as_they_were_read(tmp_path: Path) -> None:
    path = big(tmp_path / "big.onnx")
    model = onnx_files.read(path)
    assert list(model.external) == ["big.onnx.data"]
    assert look(load(path)).boxes.tolist() == [[27, 13.5, 37, 18.5]]


def test_the_digest_of_a_model_in_one_file_is_the_files(tmp_path: Path) -> None:
    plain = onnx_graphs.yolov8(tmp_path / "a.onnx")
    # Its metadata speaks of a location; it has none.
    for model in (plain, onnx_graphs.yolov8(tmp_path / "b.onnx", metadata={"location": "x"})):
        digest = hashlib.sha256(model.read_bytes()).hexdigest()
        assert load(model).info.weights_sha256 == weights_sha256(model, None) == digest


@pytest.mark.parametrize("make", [made, lambda folder: big(folder / "best.onnx")])
def test_other_data_is_another_detector(make: Callable[[Path], Path], tmp_path: Path) -> None:
    path = make(tmp_path)
    before, graph = load(path).info, path.read_bytes()
    data = path.with_name("best.onnx.data")
    assert weights_sha256(path, None) == before.weights_sha256
    changed = bytearray(data.read_bytes())
    changed[-1] ^= 1
    data.write_bytes(changed)
    after = load(path).info
    assert path.read_bytes() == graph
    assert before.queue != after.queue
    assert weights_sha256(path, None) == after.weights_sha256 != before.weights_sha256


def test_what_is_loaded_is_what_was_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The data is replaced between the reading and the engine's start."""
    path = big(tmp_path / "big.onnx")
    real = onnxruntime.InferenceSession

    def session(*arguments: object, **options: object) -> object:
        (tmp_path / "big.onnx.data").write_bytes(bytes(200_000))
        return real(*arguments, **options)

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    assert len(look(load(path)).scores) == 1


def test_missing_data_is_named_with_the_name_that_the_model_wants(tmp_path: Path) -> None:
    path = made(tmp_path)
    path = path.rename(tmp_path / "people.onnx")
    data = (tmp_path / "best.onnx.data").rename(tmp_path / "people.onnx.data")
    with pytest.raises(ModelError, match="weights are missing") as raised:
        load(path)
    assert f"as {tmp_path / 'best.onnx.data'} (people.onnx.data is there: if that is it" in str(raised.value)
    data.rename(tmp_path / "best.onnx.data")
    assert load(path).info.family == "onnx"


@pytest.mark.parametrize("make", [made, lambda folder: big(folder / "best.onnx")])
@pytest.mark.parametrize("keep", [0, 1, -1])
def test_data_that_is_cut_short_is_named(keep: int, make: Callable[[Path], Path], tmp_path: Path) -> None:
    path = make(tmp_path)
    data = tmp_path / "best.onnx.data"
    data.write_bytes(data.read_bytes()[:keep])
    with pytest.raises(ModelError, match=r"best.onnx.data (are cut short|is empty)") as raised:
        load(path)
    assert "\n" not in str(raised.value)


class TestPlaces:
    """What a model may read: files in its own folder."""

    def place(self, folder: Path, location: str) -> Path:
        model = onnx.load(onnx_graphs.yolov8(folder / "best.onnx"))
        for tensor in model.graph.initializer:
            tensor.data_location = TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value=location)
            tensor.external_data.add(key="length", value=str(len(tensor.raw_data)))
            tensor.ClearField("raw_data")
        onnx.save(model, folder / "best.onnx")
        return folder / "best.onnx"

    @pytest.mark.parametrize(
        "location", ["../secret", "/etc/passwd", "sub/../../secret", "link", "links/secret", "a\0b"]
    )
    def test_what_lies_outside_is_refused(self, location: str, tmp_path: Path) -> None:
        folder = tmp_path / "model"
        (folder / "sub").mkdir(parents=True)
        (tmp_path / "secret").write_bytes(bytes(10_000))
        (folder / "link").symlink_to(tmp_path / "secret")
        (folder / "links").symlink_to(tmp_path)
        with pytest.raises(ModelError, match="which is not in its own folder"):
            load(self.place(folder, location))

    @pytest.mark.parametrize("location", [".", "sub", "x" * 300, "pipe", "*/_ORT_MEM_ADDR_/*"])
    def test_what_is_no_file_is_refused(self, location: str, tmp_path: Path) -> None:
        (tmp_path / "sub").mkdir()
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(ModelError, match=r"weights are missing|not in its own folder"):
            load(self.place(tmp_path, location))

    @pytest.mark.parametrize("location", ["w.bin", "./w.bin", "sub/w.bin", "sub/../w.bin", "näme (1).bin"])
    def test_what_lies_inside_is_read(self, location: str, tmp_path: Path) -> None:
        (tmp_path / "sub").mkdir()
        (tmp_path / location).write_bytes(bytes(10_000))
        assert onnx_files.read(self.place(tmp_path, location)).sha256

    def test_the_cache_of_hugging_face_is_read_where_both_files_are_links(self, tmp_path: Path) -> None:
        blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots/1"
        snapshot.mkdir(parents=True)
        made(blobs)
        for name in ("best.onnx", "best.onnx.data"):
            blob = (blobs / name).rename(blobs / hashlib.sha256(name.encode()).hexdigest())
            (snapshot / name).symlink_to(blob)
        assert len(look(load(snapshot / "best.onnx")).scores) > 0


def _external(tensor: TensorProto, folder: Path, name: str, length: bool = True) -> TensorProto:
    (folder / name).write_bytes(b"\0" * 4 + tensor.raw_data)
    entries = {"location": name, "offset": "4"} | ({"length": str(len(tensor.raw_data))} if length else {})
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    return tensor


def _in_initializer(tensor: TensorProto) -> tuple[list[onnx.NodeProto], list[TensorProto]]:
    return [helper.make_node("Identity", ["w"], ["y"])], [tensor]


def _in_attribute(tensor: TensorProto) -> tuple[list[onnx.NodeProto], list[TensorProto]]:
    return [helper.make_node("Constant", [], ["y"], value=tensor)], []


def _in_branch(tensor: TensorProto) -> tuple[list[onnx.NodeProto], list[TensorProto]]:
    out = helper.make_tensor_value_info("b", TensorProto.FLOAT, [1, 84, 336])
    branch = helper.make_graph([helper.make_node("Identity", ["w"], ["b"])], "branch", [], [out], [tensor])
    truth = numpy_helper.from_array(np.array(True), "truth")
    return [helper.make_node("If", ["truth"], ["y"], then_branch=branch, else_branch=branch)], [truth]


@pytest.mark.parametrize("length", [True, False])
@pytest.mark.parametrize("where", [_in_initializer, _in_attribute, _in_branch])
def test_tensors_anywhere_in_a_graph_are_found(
    where: Callable[[TensorProto], tuple[list[onnx.NodeProto], list[TensorProto]]], length: bool, tmp_path: Path
) -> None:
    data = tmp_path / "w.bin"
    nodes, constants = where(_external(numpy_helper.from_array(one_box(), "w"), tmp_path, data.name, length))
    if length:
        # What follows in the file is another tensor's.
        data.write_bytes(data.read_bytes() + b"more")
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 128, 128])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 84, 336])
    graph = helper.make_graph(nodes, "made", [image], [out], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, {"task": "detect"})
    path = tmp_path / "m.onnx"
    onnx.save(model, path)
    assert look(load(path)).boxes.tolist() == [[27, 13.5, 37, 18.5]]
    data.write_bytes(data.read_bytes()[:1000])
    with pytest.raises(ModelError, match=r"w.bin are cut short"):
        load(path)
    data.unlink()
    with pytest.raises(ModelError, match=r"weights are missing: put them beside it, as .*w.bin"):
        load(path)


def test_several_files_are_all_in_the_digest(tmp_path: Path) -> None:
    model = onnx.load(onnx_graphs.yolov8(tmp_path / "m.onnx"))
    onnx.save_model(
        model, tmp_path / "m.onnx", save_as_external_data=True, all_tensors_to_one_file=False, size_threshold=0
    )
    files = sorted(file for file in tmp_path.iterdir() if file.name != "m.onnx")
    assert len(files) > 3
    digests = {load(tmp_path / "m.onnx").info.weights_sha256}
    for file in files:
        content = file.read_bytes()
        file.write_bytes(content + b"\0")
        digests.add(onnx_files.read(tmp_path / "m.onnx").sha256)
        file.write_bytes(content)
    assert len(digests) == 1 + len(files)


@pytest.mark.parametrize(
    "entries", [{}, {"location": ""}, {"location": "w", "offset": "-1"}, {"location": "w", "length": "many"}]
)
def test_a_tensor_that_lies_nowhere_is_refused(entries: dict[str, str], tmp_path: Path) -> None:
    model = onnx.load(onnx_graphs.yolov8(tmp_path / "m.onnx", metadata={"location": "x"}))
    (tmp_path / "w").write_bytes(bytes(10_000))
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="does not say where its tensor"):
        load(tmp_path / "m.onnx")


@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_a_model_that_is_cut_short_is_refused(share: float, tmp_path: Path) -> None:
    path = made(tmp_path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(ModelError, match=r"not a whole ONNX model|not a detector|more than one way"):
        load(path)


def test_the_schema_is_onnx_own_and_leads_to_every_tensor() -> None:
    """Each message that can hold a tensor is followed, by the field numbers that the `onnx` package has."""
    theirs = onnx.ModelProto.DESCRIPTOR.file.message_types_by_name
    holders = {"TensorProto"}
    while (
        more := {
            name
            for name, message in theirs.items()
            if any(field.message_type and field.message_type.name in holders for field in message.fields)
        }
        - holders
    ):
        holders |= more
    for name in holders - {"TensorProto"}:
        wanted = {
            field.name: field.number
            for field in theirs[name].fields
            if field.message_type and field.message_type.name in holders
        }
        assert {member: number for member, (number, _) in onnx_schema.FIELDS[name].items()} == wanted
    for name, members in onnx_schema.FIELDS.items():
        for member, (number, kind) in members.items():
            field = theirs[name].fields_by_name[member]
            assert field.number == number
            assert field.is_repeated == kind.endswith("*")
    assert TensorProto.EXTERNAL == 1
