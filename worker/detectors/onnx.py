"""`onnx`: any detector in an ONNX file, on ONNX Runtime, with the head that reads its outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from common import onnxfiles
from common.detector_info import DetectorInfo
from common.errors import ModelError, UsageError
from common.onnxfiles import OnnxFiles
from worker import boxes, heads, letterbox
from worker.detectors import files, labels
from worker.detectors.base import Detections, DetectOptions, Image, ModelSource
from worker.detectors.engine import instruction_set
from worker.heads import ultralytics
from worker.heads.base import Head, Size

#: Network pixels. What a network without a size of its own is given; Ultralytics' default.
DEFAULT_SIDE = 640
#: Sizes for flexible inputs are rounded up to whole cells of the coarsest stride, as Ultralytics does.
_GRANULE = 32
_DTYPES: dict[str, npt.DTypeLike] = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


class OnnxDetector:
    """Letterbox or stretch, one run of the graph, the head's decoding, our suppression."""

    def __init__(self, info: DetectorInfo, graph: _Graph, head: Head) -> None:
        self.info = info
        self._graph = graph
        self._head = head

    def preprocess(self, image: Image, options: DetectOptions) -> npt.NDArray[np.floating]:
        return letterbox.to_tensor(image, self._size(options), self._head.pixels, self._graph.dtype)

    def infer(self, prepared: npt.NDArray[np.floating]) -> list[npt.NDArray[np.float32]]:
        return self._graph.run(prepared)

    def postprocess(self, raw: list[npt.NDArray[np.float32]], image: Image, options: DetectOptions) -> Detections:
        boxes.refuse_nan(raw)
        size = self._size(options)
        height, width = image.shape[:2]
        found = self._head.decode(raw, size, options.floor)
        found = boxes.suppress(found, None if self._head.chosen_inside else options.iou, options.floor)
        if len(found.class_ids) and found.class_ids.max() >= len(self.info.labels):
            raise UsageError(
                f"{self.info.name} found class {found.class_ids.max()}, but has {len(self.info.labels)} labels; "
                "start it with --labels that name them all"
            )
        at = letterbox.place((height, width), size, self._head.pixels)
        return boxes.finish(letterbox.to_image(found, at), height, width)

    def _size(self, options: DetectOptions) -> Size:
        own = self.info.input_size
        assert own is not None
        if options.imgsz is None or options.imgsz == own:
            return own
        if not self.info.flexible_input:
            raise UsageError(f"{self.info.name} takes {own[0]}x{own[1]} only; leave out --imgsz")
        return _whole_cells(options.imgsz)


@dataclass(frozen=True, slots=True, eq=False)
class _Graph:
    """A session with one image input. `size` is None where the input takes any."""

    session: Any
    input: str
    dtype: npt.DTypeLike
    size: Size | None

    def run(self, tensor: npt.NDArray[np.floating]) -> list[npt.NDArray[np.float32]]:
        outputs = self.session.run(None, {self.input: tensor})
        return [out if out.dtype == np.float32 else out.astype(np.float32) for out in outputs]


class OnnxFamily:
    suffixes: tuple[str, ...] = (".onnx",)

    def load(self, source: ModelSource) -> OnnxDetector:
        files.refuse(source, weights=True)
        path = files.path_of(source)
        file = str(path)
        model = onnxfiles.read(path)
        graph = _open(model, file)
        meta = ultralytics.read(graph.session.get_modelmeta().custom_metadata_map, file)
        size = graph.size or _whole_cells(meta.imgsz or (DEFAULT_SIDE, DEFAULT_SIDE))
        outputs = _warm_up(graph, size, file)
        if source.head is None:
            head = heads.recognise(outputs, size, meta.is_detector, file)
        else:
            head = heads.named(source.head, outputs, size, file)
        info = DetectorInfo(
            name=source.name,
            family="onnx",
            head=head.name,
            weights_sha256=model.sha256,
            labels=labels.choose(path, head.classes(outputs), meta.names, source.labels),
            input_size=size,
            flexible_input=graph.size is None,
            iou_adjustable=not head.chosen_inside,
            # A suppression inside the graph has a threshold of its own, which no filter can undo.
            refilterable=b"NonMaxSuppression" not in model.data,
            default_conf=head.default_conf,
            default_iou=head.default_iou,
            preprocessing=head.pixels.text,
            engine="onnxruntime",
            engine_version=onnxruntime.__version__,
            instruction_set=instruction_set(),
        )
        return OnnxDetector(info, graph, head)


def _open(model: OnnxFiles, file: str) -> _Graph:
    """One thread that sleeps when it has nothing to do: one process a core is faster than threads in a process."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    #: 3: errors only. Old exporters list their weights as inputs, which is one warning a weight.
    options.log_severity_level = 3
    if contents := model.external:
        sizes = [len(content) for content in contents.values()]
        options.add_external_initializers_from_files_in_memory(list(contents), list(contents.values()), sizes)
    try:
        session = onnxruntime.InferenceSession(model.graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelError(
            f"{file} is not a whole ONNX model ({_first_line(error)}); copy, download or export it again"
        ) from None
    inputs = session.get_inputs()
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type not in _DTYPES:
        took = ", ".join(f"{i.type} {i.shape}" for i in inputs) or "nothing"
        raise ModelError(f"{file} is not a detector: it takes {took}, not one 1x3xHxW image of floats")
    batch, channels, *sides = inputs[0].shape
    if (isinstance(batch, int) and batch != 1) or (isinstance(channels, int) and channels != 3):
        raise ModelError(f"{file} takes {inputs[0].shape}, not 1x3xHxW; export it with batch 1 and three channels")
    size = (sides[0], sides[1]) if all(isinstance(side, int) for side in sides) else None
    return _Graph(session, inputs[0].name, _DTYPES[inputs[0].type], size)


def _warm_up(graph: _Graph, size: Size, file: str) -> list[npt.NDArray[np.float32]]:
    """Outputs for noise of 0..1, dark to one network and lively to another: shapes and ranges, not detections."""
    noise = np.random.default_rng(0).random((1, 3, *size), np.float32).astype(graph.dtype)
    try:
        return graph.run(noise)
    except Exception as error:
        raise ModelError(f"{file} fails on an image of {size[0]}x{size[1]} ({_first_line(error)})") from None


def _whole_cells(size: Size) -> Size:
    return (-(-size[0] // _GRANULE) * _GRANULE, -(-size[1] // _GRANULE) * _GRANULE)


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:160]


family = OnnxFamily()
