"""Weightless graphs with the inputs, outputs and metadata of public exporters, and arrays with a known object in them.

Nothing depends on the image but its size where a graph takes that: what must be found is known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper, save

#: (height, width) of a network that is not square, so that mixed-up sides are seen. Sixteenths and thirty-seconds of it
#: have 300 cells together, as many as a transformer has queries.
SIZE = (192, 320)
#: Of the object, in network pixels: x1 y1 x2 y2.
BOX = (80.0, 48.0, 160.0, 144.0)
SCORE, LABEL = 0.9, 2
CLASSES = 5

_TYPES = {
    np.dtype(np.float32): TensorProto.FLOAT,
    np.dtype(np.float16): TensorProto.FLOAT16,
    np.dtype(np.uint8): TensorProto.UINT8,
    np.dtype(np.int64): TensorProto.INT64,
    np.dtype(np.int32): TensorProto.INT32,
}


@dataclass(frozen=True)
class Input:
    name: str
    shape: Sequence[int | str | None]
    dtype: type = np.float32


@dataclass(frozen=True)
class Scaled:
    """An output that is `array`, whose boxes are in 0..1, times the image's size that an extra input tells."""

    array: np.ndarray
    by: str
    #: Which of the two numbers of the extra input is the width.
    width_at: int = 0
    #: True where the extra input is network pixels per image pixel, not the image's size.
    divides: bool = False
    #: Where boxes begin in its columns.
    first: int = 0
    #: True where the graph rounds the boxes.
    rounds: bool = False


@dataclass(frozen=True)
class Export:
    """One graph. Outputs are arrays, in order and by name."""

    outputs: Mapping[str, np.ndarray | Scaled]
    image: Input = Input("images", (1, 3, *SIZE))
    extras: tuple[Input, ...] = ()
    meta: Mapping[str, str] = field(default_factory=dict)

    def save(self, path: Path) -> Path:
        nodes: list[NodeProto] = []
        constants: list[TensorProto] = []

        def add(kind: str, *inputs: str, **attributes: object) -> str:
            nodes.append(helper.make_node(kind, list(inputs), [f"n{len(nodes)}"], **attributes))
            return f"n{len(nodes) - 1}"

        def constant(value: np.ndarray) -> str:
            constants.append(numpy_helper.from_array(value, f"c{len(constants)}"))
            return constants[-1].name

        # The image counts for nothing, but it is looked at, so that a wrong layout fails.
        mean = add("ReduceMean", add("Cast", self.image.name, to=TensorProto.FLOAT), keepdims=0)
        nothing = add("Mul", mean, constant(np.array(0, np.float32)))
        shown = []
        for name, output in self.outputs.items():
            array = output.array if isinstance(output, Scaled) else output
            value = add("Add", constant(array.astype(np.float32)), nothing)
            if isinstance(output, Scaled):
                told = add("Cast", output.by, to=TensorProto.FLOAT)
                columns = np.array([output.width_at, 1 - output.width_at] * 2)
                sides = add("Reshape", add("Gather", told, constant(columns), axis=1), constant(np.array([1, 4])))
                if output.first:
                    sides = add("Concat", constant(np.ones((1, output.first), np.float32)), sides, axis=1)
                value = add("Div" if output.divides else "Mul", value, sides)
                value = add("Round", value) if output.rounds else value
            kind = _TYPES[array.dtype]
            nodes.append(helper.make_node("Cast", [value], [name], to=kind))
            shown.append(helper.make_tensor_value_info(name, kind, None))
        takes = [
            helper.make_tensor_value_info(one.name, _TYPES[np.dtype(one.dtype)], list(one.shape))
            for one in (self.image, *self.extras)
        ]
        graph = helper.make_graph(nodes, "made", takes, shown, constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        helper.set_model_props(model, dict(self.meta))
        save(model, path)
        return path


def ultralytics(classes: int = CLASSES, **more: str) -> dict[str, str]:
    names = {index: f"k{index}" for index in range(classes)}
    return {"task": "detect", "stride": "32", "imgsz": str(list(SIZE)), "names": str(names), **more}


def grid(strides: Sequence[int] = (8, 16, 32), size: tuple[int, int] = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """(n, 2) x y of every cell's centre in pixels, and (n, 1) its stride."""
    centres, sides = [], []
    for stride in strides:
        y, x = np.mgrid[: -(-size[0] // stride), : -(-size[1] // stride)]
        centres.append((np.stack((x.ravel(), y.ravel()), axis=1) + 0.5) * stride)
        sides.append(np.full((x.size, 1), stride))
    return np.concatenate(centres).astype(np.float32), np.concatenate(sides).astype(np.float32)


def centred(box: Sequence[float] = BOX) -> tuple[float, ...]:
    x1, y1, x2, y2 = box
    return (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1


def unit(box: Sequence[float] = BOX) -> tuple[float, ...]:
    return tuple(side / whole for side, whole in zip(box, (*SIZE[::-1], *SIZE[::-1]), strict=True))


def anchors(strides: Sequence[int] = (8, 16, 32), each: int = 1, objectness: bool = False) -> np.ndarray:
    """(n, 4 or 5 + CLASSES): centre, sides and low scores of every anchor, and the object in the midst of them."""
    centres, sides = (np.repeat(part, each, axis=0) for part in grid(strides))
    out = np.full((len(centres), 4 + objectness + CLASSES), 0.001, np.float32)
    out[:, :2], out[:, 2:4] = centres, sides * 3
    # The anchor at the object's centre, as a grid without others' boxes near it would have it.
    at = int(np.abs(centres - np.array(centred()[:2])).sum(axis=1).argmin())
    out[at, :4] = centred()
    out[at, 4 + objectness + LABEL] = SCORE
    if objectness:
        out[at, 4] = 1
    return out


def queries(count: int = 300) -> np.ndarray:
    """(count, 4 + CLASSES): a transformer's boxes in 0..1 with low scores, and the object."""
    rng = np.random.default_rng(0)
    out = np.concatenate(
        (rng.uniform(0.2, 0.9, (count, 2)), rng.uniform(0.02, 0.1, (count, 2)), rng.random((count, CLASSES)) * 0.01),
        axis=1,
    )
    out[7] = (*unit(centred()), *[0.001] * CLASSES)
    out[7, 4 + LABEL] = SCORE
    return out.astype(np.float32)


def logits(scores: np.ndarray) -> np.ndarray:
    return np.log(scores / (1 - scores)).astype(np.float32)


def nanodet_plus(strides: Sequence[int], bins: int = 8) -> np.ndarray:
    """(n, CLASSES + 4 x bins): distances are measured from a cell's corner; the object is at one of stride 32."""
    rng = np.random.default_rng(0)
    centres, sides = grid(strides)
    out = rng.normal(0, 1, (len(centres), CLASSES + 4 * bins)).astype(np.float32)
    out[:, :CLASSES] = rng.random((len(centres), CLASSES)) * 0.01
    corners = centres - sides / 2
    at = int(np.flatnonzero((corners == (128, 96)).all(axis=1) & (sides[:, 0] == 32))[0])
    distances = np.array((128 - BOX[0], 96 - BOX[1], BOX[2] - 128, BOX[3] - 96)) / 32
    out[at, CLASSES:] = -50
    for side, distance in enumerate(distances):
        low = int(distance)
        share = distance - low
        columns = out[at, CLASSES + side * bins : CLASSES + (side + 1) * bins]
        columns[low], columns[low + 1] = np.log(max(1 - share, 1e-30)), np.log(max(share, 1e-30))
    out[at, LABEL] = SCORE
    return out
