"""Small real detectors, made with `onnx.helper`: each finds bright cells, and its class is the brightest channel.

A network of `size` 64 looks at cells of 8, 16 and 32 pixels. A cell is a detection of class 0, 1 or 2 where the
mean of channel 0, 1 or 2 (blue, green and red for a network that takes BGR) is over 192; its box is the cell. So
a picture with one white, aligned square has known detections.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, load, numpy_helper, save

STRIDES = (8, 16, 32)
#: What 255 becomes, and 0, in the networks that do not take 0..255.
UNIT = (1 / 255, 0.0)
NANODET = (1 / 57.6, -2.0)
IMAGENET = (1 / 57.9, -2.0)


def yolox(
    path: Path,
    *,
    classes: int = 3,
    size: int | None = 64,
    decoded: bool = False,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """(1, cells, 5 + classes). `size` None takes any multiple of 32, where not decoded."""
    graph = _Graph(size)
    scores = graph.scores(classes)
    objectness = graph.add("ReduceMax", scores, axes=[2], keepdims=1)
    if decoded:
        boxes = graph.constant(_centres_and_sides(size or 64)[None])
    else:
        # Offset (0.5, 0.5) in its cell, and exp(0) = 1 stride wide and high.
        offset = graph.constant(np.array([0.5, 0.5, 0, 0], np.float32))
        nothing = graph.add("Mul", objectness, graph.constant(np.zeros(1, np.float32)))
        boxes = graph.add("Add", graph.add("Concat", *[nothing] * 4, axis=2), offset)
    ones = graph.add("Div", scores, objectness)
    return graph.save(path, [graph.add("Concat", boxes, objectness, ones, axis=2)], metadata)


def yolov5(path: Path, *, classes: int = 3, size: int = 64, metadata: Mapping[str, str] | None = None) -> Path:
    """(1, 3 x cells, 5 + classes): each cell three times."""
    graph = _Graph(size, UNIT)
    scores = graph.scores(classes)
    objectness = graph.add("ReduceMax", scores, axes=[2], keepdims=1)
    boxes = graph.constant(_centres_and_sides(size)[None])
    rows = graph.add("Concat", boxes, objectness, graph.add("Div", scores, objectness), axis=2)
    return graph.save(path, [graph.add("Concat", rows, rows, rows, axis=1)], metadata)


def yolov8(path: Path, *, classes: int = 3, size: int = 64, metadata: Mapping[str, str] | None = None) -> Path:
    """(1, 4 + classes, cells)."""
    graph = _Graph(size, UNIT)
    boxes = graph.constant(_centres_and_sides(size)[None])
    rows = graph.add("Concat", boxes, graph.scores(classes), axis=2)
    return graph.save(path, [graph.add("Transpose", rows, perm=[0, 2, 1])], metadata)


def end2end(path: Path, *, size: int = 64, nms: bool = False, metadata: Mapping[str, str] | None = None) -> Path:
    """(1, n, 6); with `nms`, chosen by a NonMaxSuppression at a score of 0.25."""
    graph = _Graph(size, UNIT)
    scores = graph.scores(3)
    best = graph.add("ReduceMax", scores, axes=[2], keepdims=1)
    label = graph.add("Cast", graph.add("ArgMax", scores, axis=2, keepdims=1), to=TensorProto.FLOAT)
    cells = _centres_and_sides(size)
    boxes = graph.constant(_corners(size)[None])
    rows = graph.add("Concat", boxes, best, label, axis=2)
    if nms:
        limits = [graph.constant(np.array([value], kind)) for value, kind in ((99, "i8"), (0.5, "f4"), (0.25, "f4"))]
        chosen = graph.add("NonMaxSuppression", boxes, graph.add("Transpose", best, perm=[0, 2, 1]), *limits)
        picked = graph.add("Gather", chosen, graph.constant(np.array(2)), axis=1)
    else:
        # Fewer rows than cells, as a network without suppression has: the coarsest cells.
        picked = graph.constant(np.arange(len(cells) - (size // 32) ** 2, len(cells)))
    return graph.save(path, [graph.add("Gather", rows, picked, axis=1)], metadata)


def nanodet(path: Path, *, classes: int = 3, size: int = 64, by_stride: bool = False) -> Path:
    """Scores and distributions over eight bins a side, ordered by kind or by stride."""
    graph = _Graph(size, NANODET)
    scores = [graph.squash(pooled, classes) for pooled in graph.pooled]
    # The mean of bins 0 and 1 is half a stride to every side of the centre: the cell.
    logits = np.full((1, 1, 4, 8), -50, np.float32)
    logits[..., :2] = 0
    bins = [graph.constant(np.tile(logits.reshape(1, 1, 32), (1, (size // stride) ** 2, 1))) for stride in STRIDES]
    pairs = [out for both in zip(scores, bins, strict=True) for out in both]
    return graph.save(path, pairs if by_stride else scores + bins, None)


def nanodet_plus(path: Path, *, classes: int = 3, size: int = 64) -> Path:
    """(1, cells, classes + 32): half a stride to every side of a cell's corner."""
    graph = _Graph(size, NANODET)
    logits = np.full((1, len(_centres_and_sides(size)), 4, 8), -50, np.float32)
    logits[..., :2] = 2
    bins = graph.constant(logits.reshape(1, -1, 32))
    return graph.save(path, [graph.add("Concat", graph.scores(classes), bins, axis=2)], None)


def yolonas(path: Path, *, size: int = 64) -> Path:
    """Boxes (1, cells, 4) x1 y1 x2 y2 and scores (1, cells, 3)."""
    graph = _Graph(size, UNIT)
    return graph.save(path, [graph.constant(_corners(size)[None]), graph.scores(3)], None)


def rtdetr(path: Path, *, size: int = 64, logits: bool = False) -> Path:
    """(1, 60, 4 + 3) of the coarsest cells, boxes in 0..1; with `logits`, boxes and logits as RF-DETR names them."""
    graph = _Graph(size, IMAGENET if logits else UNIT)
    queries = graph.constant(np.arange(60) + len(_centres_and_sides(size)) - 60)
    boxes = graph.add("Gather", graph.constant(_centres_and_sides(size)[None] / size), queries, axis=1)
    scores = graph.add("Gather", graph.scores(3), queries, axis=1)
    if not logits:
        return graph.save(path, [graph.add("Concat", boxes, scores, axis=2)], None)
    odds = graph.add("Div", scores, graph.add("Sub", graph.constant(np.array([1.000001], np.float32)), scores))
    return graph.save(path, [boxes, graph.add("Log", odds)], None, ("dets", "labels"))


def rtdetr_sized(path: Path, *, size: int = 64) -> Path:
    """Labels, boxes in pixels of the image, and scores; the image's size, width first, is the second input."""
    graph = _Graph(size, UNIT)
    scores = graph.scores(3)
    told = graph.add("Cast", "orig_target_sizes", to=TensorProto.FLOAT)
    sides = graph.add("Unsqueeze", graph.add("Concat", told, told, axis=1), graph.constant(np.array([1])))
    outputs = [
        graph.add("ArgMax", scores, axis=2, keepdims=0),
        graph.add("Mul", graph.constant(_corners(size)[None] / size), sides),
        graph.add("ReduceMax", scores, axes=[2], keepdims=0),
    ]
    graph.extras.append(helper.make_tensor_value_info("orig_target_sizes", TensorProto.INT64, [1, 2]))
    return graph.save(path, outputs, {"names": "['r', 'g', 'b']"}, ("labels", "boxes", "scores"))


def constant(
    path: Path, *outputs: np.ndarray, size: int | None = 64, metadata: Mapping[str, str] | None = None
) -> Path:
    """Any outputs, whatever the image: a classifier, a segmentation model, a broken detector."""
    graph = _Graph(size)
    return graph.save(path, [graph.constant(out) for out in outputs], metadata)


def apart(path: Path, least: int = 0) -> Path:
    """The same model with every tensor of so many bytes in `<name>.data` beside it."""
    model = load(path)
    path.unlink()
    save(model, path, save_as_external_data=True, location=f"{path.name}.data", size_threshold=least)
    return path


def _centres_and_sides(size: int) -> np.ndarray:
    rows = []
    for stride in STRIDES:
        y, x = np.mgrid[: size // stride, : size // stride]
        sides = np.ones(x.size)
        rows.append(np.stack((x.ravel() + 0.5, y.ravel() + 0.5, sides, sides), axis=1) * stride)
    return np.concatenate(rows).astype(np.float32)


def _corners(size: int) -> np.ndarray:
    cells = _centres_and_sides(size)
    return np.concatenate((cells[:, :2] - cells[:, 2:] / 2, cells[:, :2] + cells[:, 2:] / 2), axis=1)


class _Graph:
    """Nodes in the making. `pooled` is each stride's (1, cells, 3) mean brightness, 0..255."""

    def __init__(self, size: int | None, scaled: tuple[float, float] = (1.0, 0.0)) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self.size = size
        self.extras: list[ValueInfoProto] = []
        scale, shift = scaled
        image = self.add("Sub", "images", self.constant(np.array([shift], np.float32)))
        bright = self.add("Div", image, self.constant(np.array([scale], np.float32)))
        flat, last = self.constant(np.array([1, 3, -1])), [0, 2, 1]
        self.pooled = [
            self.add("Transpose", self.add("Reshape", self._pool(bright, stride), flat), perm=last)
            for stride in STRIDES
        ]

    def _pool(self, image: str, stride: int) -> str:
        return self.add("AveragePool", image, kernel_shape=[stride] * 2, strides=[stride] * 2)

    def scores(self, classes: int) -> str:
        """(1, cells, classes)."""
        return self.squash(self.add("Concat", *self.pooled, axis=1), classes)

    def squash(self, pooled: str, classes: int) -> str:
        """Brightness to 0..1, steep at 192; classes from 3 on repeat the channels more weakly."""
        channels = self.add("Gather", pooled, self.constant(np.arange(classes) % 3), axis=2)
        weak = self.constant((0.5 ** (np.arange(classes) // 3)).astype(np.float32))
        half, width = (self.constant(np.array([value], np.float32)) for value in (192, 16))
        return self.add("Mul", self.add("Sigmoid", self.add("Div", self.add("Sub", channels, half), width)), weak)

    def add(self, kind: str, *inputs: str, **attributes: object) -> str:
        name = f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, value: np.ndarray) -> str:
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def save(
        self, path: Path, outputs: list[str], metadata: Mapping[str, str] | None, names: tuple[str, ...] = ()
    ) -> Path:
        shown = [self.add("Identity", name) for name in outputs]
        if names:
            for node, name in zip(self.nodes[-len(names) :], names, strict=True):
                node.output[0] = name
            shown = list(names)
        side = ["height", "width"] if self.size is None else [self.size] * 2
        graph = helper.make_graph(
            self.nodes,
            "made",
            [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, *side]), *self.extras],
            [helper.make_empty_tensor_value_info(name) for name in shown],
            self.constants,
        )
        # Old enough for every ONNX Runtime that is allowed.
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        helper.set_model_props(model, dict(metadata or {}))
        save(model, path)
        return path
