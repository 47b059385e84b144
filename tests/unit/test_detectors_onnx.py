"""ONNX files: broken ones, labels, sizes, and how the engine is set up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save
from onnx import load as load_model

from common.errors import ModelError, UsageError
from common.images.image import Image
from jobs.detect.detectors.base import DetectOptions, ModelSource
from jobs.detect.detectors.labels import COCO
from jobs.detect.detectors.onnx import OnnxDetector, family
from tests.unit import onnx_graphs

THREE = "{0: 'cat', 1: 'dog', 2: 'hen'}"


def load(path: Path, labels: Path | None = None) -> OnnxDetector:
    return family.load(ModelSource("made", path, None, labels))


def white(height: int = 96, width: int = 128) -> Image:
    return np.full((height, width, 3), 255, np.uint8)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.7, 0.99])
def test_a_file_that_is_cut_short_is_refused(share: float, tmp_path: Path) -> None:
    data = onnx_graphs.yolov8(tmp_path / "whole.onnx", classes=80).read_bytes()
    path = tmp_path / "cut.onnx"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ModelError, match="not a") as raised:
        load(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.onnx"
    path.write_text("not a model\n" * 100)
    with pytest.raises(ModelError, match="not a whole ONNX model"):
        load(path)


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        (TensorProto.FLOAT, [1, 10]),
        (TensorProto.INT64, [1, 3, 64, 64]),
        (TensorProto.FLOAT, [1, 4, 64, 64]),
        (TensorProto.FLOAT, [1, 64, 64, 6]),
    ],
)
def test_an_input_that_is_not_one_picture_is_refused(kind: int, shape: list[int], tmp_path: Path) -> None:
    node = helper.make_node("Identity", ["x"], ["y"])
    ends = [helper.make_tensor_value_info(name, kind, shape) for name in ("x", "y")]
    graph = helper.make_graph([node], "odd", ends[:1], ends[1:])
    path = tmp_path / "odd.onnx"
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    with pytest.raises(ModelError, match=r"not a detector: it takes|takes images of \d+ channels"):
        load(path)


def test_80_classes_mean_coco(tmp_path: Path) -> None:
    assert load(onnx_graphs.yolox(tmp_path / "m.onnx", classes=80)).info.labels == COCO
    assert (len(COCO), COCO[0], COCO[-1]) == (80, "person", "toothbrush")


def test_labels_are_the_users_then_the_models_own_then_a_file_beside_it_then_numbers(tmp_path: Path) -> None:
    plain = onnx_graphs.yolov8(tmp_path / "m.onnx")
    assert load(plain).info.labels == ("class_0", "class_1", "class_2")
    (tmp_path / "m.txt").write_text("\ufeffa\nb\n\nc \n", "utf-8")
    assert load(plain).info.labels == ("a", "b", "c")
    (tmp_path / "m.names").write_text("d\ne\nf\n")
    assert load(plain).info.labels == ("d", "e", "f")
    onnx_graphs.yolov8(plain, metadata={"task": "detect", "names": THREE})
    assert load(plain).info.labels == ("cat", "dog", "hen")
    chosen = tmp_path / "chosen.txt"
    chosen.write_text("x\ny\nz\n")
    assert load(plain, chosen).info.labels == ("x", "y", "z")


def test_a_wrong_number_of_labels_is_refused_and_says_whose(tmp_path: Path) -> None:
    path = onnx_graphs.yolov8(tmp_path / "m.onnx")
    two = tmp_path / "two.txt"
    two.write_text("a\nb\n")
    with pytest.raises(ModelError, match=r"has 3 classes, but .*two.txt has 2 labels"):
        load(path, two)
    onnx_graphs.yolov8(path, metadata={"names": "['a']"})
    with pytest.raises(ModelError, match="has 3 classes, but its metadata has 1 labels"):
        load(path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot be read"),
        (b"\xff\xfe\xfa", "UTF-8"),
        (b"caf\xe9\n", "UTF-8"),
        (b"\0a", "UTF-8"),
        (b" \n", "empty"),
    ],
)
def test_labels_that_cannot_be_read_are_refused(content: bytes | None, says: str, tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    if content is not None:
        labels.write_bytes(content)
    with pytest.raises(ModelError, match=says):
        load(onnx_graphs.yolov8(tmp_path / "m.onnx"), labels)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
def test_labels_may_be_in_any_unicode(encoding: str, tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
    labels.write_bytes(mark + "Kätzchen\r\n犬\r\nhen\r\n".encode(encoding))
    assert load(onnx_graphs.yolov8(tmp_path / "m.onnx"), labels).info.labels == ("Kätzchen", "犬", "hen")


@pytest.mark.parametrize("name", ["data.yaml", "classes.JSON"])
def test_labels_in_a_format_that_is_not_read_are_refused_and_never_read_as_lines(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("names:\n 0: a\n 1: b\n")
    path = onnx_graphs.yolov8(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="write them into a text file, one a line"):
        load(path, tmp_path / name)


@pytest.mark.parametrize("names", ["{0: 'a', 2: 'b', 3: 'c'}", "{0: __import__('os')}", "{"])
def test_metadata_that_cannot_be_read_is_refused_and_never_run(names: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="metadata"):
        load(onnx_graphs.yolov8(tmp_path / "m.onnx", metadata={"names": names}))


def test_names_may_be_json(tmp_path: Path) -> None:
    path = onnx_graphs.yolov8(tmp_path / "m.onnx", metadata={"names": '{"2": "hen", "0": "cat", "1": "dog"}'})
    assert load(path).info.labels == ("cat", "dog", "hen")


def test_metadata_that_cannot_be_read_matters_only_where_nothing_else_tells(tmp_path: Path) -> None:
    metadata = {"names": "cat,dog,hen", "stride": "tensor([ 8., 16., 32.])", "imgsz": "64 x 64"}
    path = onnx_graphs.yolov8(tmp_path / "m.onnx", metadata=metadata)
    with pytest.raises(ModelError, match=r"`names` .* cannot be read: 'cat,dog,hen'; give its labels with --labels"):
        load(path)
    labels = tmp_path / "m.names"
    labels.write_text("a\nb\nc\n")
    assert load(path).info.labels == load(path, labels).info.labels == ("a", "b", "c")


def test_an_end_to_end_model_without_names_has_numbers_for_names_and_says_so(tmp_path: Path) -> None:
    info = load(onnx_graphs.end2end(tmp_path / "m.onnx")).info
    assert (info.labels[0], info.labels[79], len(info.labels)) == ("class_0", "class_79", 80)
    assert "does not say what its classes are called" in info.caution and "--labels coco" in info.caution


def test_a_class_without_a_label_is_an_error_and_never_a_wrong_name(tmp_path: Path) -> None:
    detector = load(onnx_graphs.end2end(tmp_path / "m.onnx", metadata={"names": "['red']"}))
    image = np.zeros((64, 64, 3), np.uint8)
    image[..., 0] = 255
    options = DetectOptions(0.5, 0.5)
    raw = detector.infer(detector.preprocess(image, options))
    with pytest.raises(UsageError, match="found class 2, but has 1 labels"):
        detector.postprocess(raw, image, options)


def test_a_fixed_input_refuses_another_size(tmp_path: Path) -> None:
    detector = load(onnx_graphs.yolox(tmp_path / "m.onnx"))
    assert (detector.info.input_size, detector.info.flexible_input) == ((64, 64), False)
    assert detector.preprocess(white(), DetectOptions(0.5, 0.5, (64, 64))).shape == (1, 3, 64, 64)
    with pytest.raises(UsageError, match="takes 64x64 only; leave out --imgsz"):
        detector.preprocess(white(), DetectOptions(0.5, 0.5, (96, 96)))


def test_a_flexible_input_takes_its_size_from_imgsz_rounded_up_to_whole_cells(tmp_path: Path) -> None:
    detector = load(onnx_graphs.yolox(tmp_path / "m.onnx", size=None))
    assert (detector.info.input_size, detector.info.flexible_input) == ((640, 640), True)
    options = DetectOptions(0.5, 0.5, (90, 128))
    prepared = detector.preprocess(white(), options)
    assert prepared.shape == (1, 3, 96, 128)
    found = detector.postprocess(detector.infer(prepared), white(), options)
    assert found.boxes[:, 2:].max(axis=0).tolist() == [128, 96]


def test_a_flexible_input_starts_with_the_size_in_the_metadata(tmp_path: Path) -> None:
    path = onnx_graphs.yolox(tmp_path / "m.onnx", size=None, metadata={"imgsz": "[320, 416]"})
    assert load(path).info.input_size == (320, 416)


def test_other_weights_are_another_detector(tmp_path: Path) -> None:
    one = load(onnx_graphs.yolov8(tmp_path / "one.onnx"))
    other = load(onnx_graphs.yolov8(tmp_path / "other.onnx", size=96))
    assert one.info.digest != other.info.digest
    assert one.info.digest == load(tmp_path / "one.onnx").info.digest


def test_suppression_inside_the_graph_is_neither_adjustable_nor_refilterable(tmp_path: Path) -> None:
    names = {"names": "['r', 'g', 'b']"}
    free = load(onnx_graphs.end2end(tmp_path / "free.onnx", metadata=names)).info
    assert (free.iou_adjustable, free.refilterable) == (False, True)
    inside = load(onnx_graphs.end2end(tmp_path / "inside.onnx", nms=True, metadata=names)).info
    assert (inside.iou_adjustable, inside.refilterable) == (False, False)


def of_operator(operator: str, domain: str, opset: int = 17, ir: int = 9) -> bytes:
    """A model of one operator that this ONNX Runtime may not have."""
    node = helper.make_node(operator, ["x"], ["y"], domain=domain)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "y")]
    graph = helper.make_graph([node], "odd", ends[:1], ends[1:])
    domains = [helper.make_opsetid("", opset), *([helper.make_opsetid(domain, 1)] if domain else [])]
    return helper.make_model(graph, opset_imports=domains, ir_version=ir).SerializeToString()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (
            of_operator("EfficientNMS_TRT", "TRT"),
            "EfficientNMS_TRT of the domain TRT, which is TensorRT's.*suppression",
        ),
        (of_operator("BatchedNMS_TRT", "TRT"), "BatchedNMS_TRT of the domain TRT, which is TensorRT's.*suppression"),
        (of_operator("TRTBatchedNMS", "mmdeploy"), "TRTBatchedNMS of the domain mmdeploy, which is TensorRT's"),
        (of_operator("ROIAlignRotated", "mmdeploy"), "of the domain mmdeploy, which is MMDeploy's"),
        (
            of_operator("Swish", "com.example"),
            "Swish of the domain com.example: .* does not have it; .* ONNX alone",
        ),
        (of_operator("NotThere", ""), "wants the operator NotThere: "),
        (
            of_operator("Relu", "", ir=99),
            r"IR version 99, and ONNX Runtime \S+ reads up to \d+; upgrade onnx",
        ),
        (
            of_operator("Relu", "", opset=99),
            r"opset 99 of ai.onnx, and .* up to \d+; upgrade onnxruntime, or",
        ),
    ],
)
def test_what_this_onnx_runtime_does_not_have_is_named(data: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.onnx"
    path.write_bytes(data)
    with pytest.raises(ModelError, match=says) as raised:
        load(path)
    assert "whole" not in str(raised.value)


def test_an_input_that_nothing_is_known_of_is_named(tmp_path: Path) -> None:
    node = helper.make_node("Identity", ["pixel_values"], ["y"])
    takes = [
        helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, [1, 3, 64, 64]),
        helper.make_tensor_value_info("pixel_mask", TensorProto.INT64, [1, 64, 64]),
    ]
    graph = helper.make_graph([node], "two", takes, [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "two.onnx")
    with pytest.raises(ModelError, match="what it wants as pixel_mask is not known here; export it with"):
        load(tmp_path / "two.onnx")


@pytest.mark.parametrize("imgsz", ["320", "(320, 320)", "[320]", "[320, 320]", "320.0"])
def test_a_size_in_the_metadata_may_be_written_in_any_way(imgsz: str, tmp_path: Path) -> None:
    path = onnx_graphs.yolox(tmp_path / "m.onnx", size=None, metadata={"imgsz": imgsz})
    assert load(path).info.input_size == (320, 320)


def test_sizes_are_rounded_up_to_the_stride_in_the_metadata(tmp_path: Path) -> None:
    path = onnx_graphs.yolox(tmp_path / "m.onnx", size=None, metadata={"imgsz": "640", "stride": "64"})
    info = load(path).info
    assert (info.stride, info.input_size) == (64, (640, 640))
    prepared = load(path).preprocess(white(), DetectOptions(0.5, 0.5, (1056, 640)))
    assert np.asarray(prepared).shape == (1, 3, 1088, 640)


@pytest.mark.parametrize("stride", [32, 64, 128])
def test_without_metadata_the_stride_is_tried(stride: int, tmp_path: Path) -> None:
    """A graph that adds what it has pooled and spread again to what it was given fails for other multiples."""
    path = tmp_path / "m.onnx"
    model = load_model(onnx_graphs.yolox(path, size=None))
    nodes = [
        helper.make_node("AveragePool", ["images"], ["low"], kernel_shape=[stride] * 2, strides=[stride] * 2),
        helper.make_node("Resize", ["low", "", "scales"], ["wide"], mode="nearest"),
        helper.make_node("Sub", ["wide", "wide"], ["nothing"]),
        helper.make_node("Add", ["images", "nothing"], ["same"]),
    ]
    for node in model.graph.node:
        node.input[:] = ["same" if name == "images" else name for name in node.input]
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 1, stride, stride], np.float32), "scales"))
    own = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *own])
    save(model, path)
    info = load(path).info
    assert (info.stride, info.flexible_input) == (stride, True)


def test_a_graph_that_takes_its_own_size_only_says_so(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    model = load_model(onnx_graphs.yolov8(path, size=640))
    for dimension in list(model.graph.input[0].type.tensor_type.shape.dim)[2:]:
        dimension.dim_param = "side"
    save(model, path)
    info = load(path).info
    assert (info.input_size, info.flexible_input) == ((640, 640), False)
