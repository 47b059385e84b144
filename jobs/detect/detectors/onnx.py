"""`onnx`: any detector in an ONNX file, on ONNX Runtime, with the head that reads its outputs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from common.errors import ModelError, UsageError
from common.images.image import Image
from common.protocol.detector_info import DetectorInfo, whole_cells
from jobs.detect import heads
from jobs.detect.detectors import boxes, labels, letterbox, onnx_graph, unused_options
from jobs.detect.detectors.base import Detections, DetectOptions, ModelSource
from jobs.detect.detectors.cpu import instruction_set
from jobs.detect.detectors.letterbox import Pixels
from jobs.detect.detectors.onnx_errors import why_not_loaded
from jobs.detect.detectors.onnx_graph import Feeds, Graph, ImageInput
from jobs.detect.heads.base import Head, Size, Trial
from jobs.detect.heads.yolo import ultralytics
from jobs.detect.models import onnx_files
from jobs.detect.models.onnx_files import OnnxFiles

#: Network pixels. What a network without a size of its own is given; Ultralytics' default.
DEFAULT_SIDE = 640
#: Network pixels a cell of the coarsest feature map, tried in this order where no metadata says it.
_STRIDES = (32, 64, 128)


class OnnxDetector:
    """Letterbox or stretch, one run of the graph, the head's decoding, our suppression."""

    def __init__(self, info: DetectorInfo, graph: Graph, head: Head, pixels: Pixels) -> None:
        self.info = info
        self._graph = graph
        self._head = head
        self._pixels = pixels

    def preprocess(self, image: Image, options: DetectOptions) -> Feeds:
        planes = letterbox.to_tensor(image, self._size(options), self._pixels, self._graph.image.dtype)
        return self._graph.feeds(planes, (image.shape[0], image.shape[1]))

    def infer(self, prepared: Feeds) -> list[npt.NDArray[np.float32]]:
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
        if not self._head.in_image:
            found = letterbox.to_image(found, letterbox.place((height, width), size, self._pixels))
        return boxes.finish(found, height, width)

    def _size(self, options: DetectOptions) -> Size:
        own = self.info.input_size
        assert own is not None
        if options.imgsz is None or options.imgsz == own:
            return own
        if not self.info.flexible_input:
            raise UsageError(f"{self.info.name} takes {own[0]}x{own[1]} only; leave out --imgsz")
        return whole_cells(options.imgsz, self.info.stride)


class OnnxFamily:
    suffixes: tuple[str, ...] = (".onnx",)

    def load(self, source: ModelSource) -> OnnxDetector:
        unused_options.refuse(source, weights=True)
        path = unused_options.path_of(source)
        file = str(path)
        model = onnx_files.read(path)
        session = _open(model, file)
        graph = onnx_graph.inspect(session, file)
        meta = ultralytics.read(session.get_modelmeta().custom_metadata_map, file)
        size, stride = _size(graph, meta)
        trial = _try(graph, size, meta, file)
        reading = heads.recognise(trial, file) if source.head is None else heads.named(source.head, trial, file)
        head, graph = reading.head, graph.only(reading.order)
        if head.in_image:
            graph = _told_the_right_way(graph, size)
        pixels = _pixels(head, graph.image, file)
        classes = head.classes([trial.outputs[index] for index in reading.order])
        if meta.names_fault and not labels.are_given(path, source.labels):
            raise ModelError(f"{file}: {meta.names_fault}; give its labels with --labels FILE")
        names = labels.choose(path, classes, meta.names, source.labels)
        info = DetectorInfo(
            name=source.name,
            family="onnx",
            head=head.name,
            weights_sha256=model.sha256,
            labels=names,
            input_size=size,
            flexible_input=stride is not None,
            iou_adjustable=not head.chosen_inside,
            # A suppression inside the graph has a threshold of its own, which no filter can undo.
            refilterable=b"NonMaxSuppression" not in model.data and not head.threshold_inside,
            default_conf=head.default_conf,
            default_iou=head.default_iou,
            preprocessing=pixels.text,
            caution=_caution(source.name, graph.image.batch, names),
            engine="onnxruntime",
            engine_version=onnxruntime.__version__,
            instruction_set=instruction_set(),
            stride=stride or _STRIDES[0],
        )
        return OnnxDetector(info, graph, head, pixels)


def _open(model: OnnxFiles, file: str) -> Any:
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
        return onnxruntime.InferenceSession(model.graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelError(why_not_loaded(error, file)) from None


def _size(graph: Graph, meta: ultralytics.Metadata) -> tuple[Size, int | None]:
    """The network's size, and the stride to whose multiples it may be changed; None where it may not."""
    height, width = graph.image.sides
    wanted = meta.imgsz or (DEFAULT_SIDE, DEFAULT_SIDE)
    if height is not None or width is not None:
        return (height or wanted[0], width or wanted[1]), None
    stride = meta.stride or _stride(graph)
    return whole_cells(wanted, stride or 1), stride


def _stride(graph: Graph) -> int | None:
    """The least of the usual strides whose multiples the graph takes, tried; None where it takes its own size only."""
    for stride in _STRIDES:
        try:
            graph.run(_noise(graph, (DEFAULT_SIDE + stride, DEFAULT_SIDE)))
        except Exception:
            continue
        return stride
    return None


def _try(graph: Graph, size: Size, meta: ultralytics.Metadata, file: str) -> Trial:
    """Outputs for noise of 0..1, dark to one network and lively to another: shapes and ranges, not detections."""
    try:
        outputs = graph.run(_noise(graph, size))
    except Exception as error:
        raise ModelError(f"{file} fails on an image of {size[0]}x{size[1]} ({_first_line(error)})") from None
    image = graph.image
    return Trial(outputs, size, graph.outputs, image.name, image.dtype == np.uint8, image.batch, graph.kinds, meta)


def _noise(graph: Graph, size: Size, image: Size | None = None) -> Feeds:
    """`image`: the size of the picture that the graph is told; the network's own otherwise."""
    noise = np.random.default_rng(0).random((1, graph.image.channels, *size), np.float32)
    bytes_ = graph.image.dtype == np.uint8
    return graph.feeds((noise * 255 if bytes_ else noise).astype(graph.image.dtype), image or size)


def _told_the_right_way(graph: Graph, size: Size) -> Graph:
    """Exporters differ in whether an image's size is width, height or height, width. Told of an image twice as wide,
    the graph gives boxes twice as wide; where it gives boxes twice as high, it is told the other way round.
    """
    if "image size" not in graph.kinds:
        return graph
    before, after = (graph.run(_noise(graph, size, (size[0], width)))[0] for width in (size[1], 2 * size[1]))
    # Graphs may round their boxes: what they come nearest to is true.
    wider, higher, same = (
        float(np.abs(after - before * np.array(by, np.float32)).mean())
        for by in ((2, 1, 2, 1), (1, 2, 1, 2), (1, 1, 1, 1))
    )
    return graph.swapped() if higher < min(wider, same) else graph


def _pixels(head: Head, image: ImageInput, file: str) -> Pixels:
    """The head's pixels as this input takes them."""
    pixels = head.pixels
    if image.channels == 1:
        if len({*pixels.mean}) > 1 or len({*pixels.std}) > 1:
            raise ModelError(
                f"{file} takes grey images, and head {head.name} is for colour; export it with three channels"
            )
        pixels = replace(pixels, order="GREY")
    if image.dtype == np.uint8:
        # The graph scales bytes itself.
        pixels = replace(pixels, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    return pixels


def _caution(name: str, batch: int, names: tuple[str, ...]) -> str:
    cautions = []
    if batch != 1:
        cautions.append(
            f"{name} takes {batch} images at once and is given one, at the cost of {batch}: export it with batch=1"
        )
    if names is labels.NAMELESS:
        cautions.append(
            f"{name} does not say what its classes are called, so they are class_0, class_1, ...: name them with "
            "--labels FILE, or with --labels coco where they are COCO's 80"
        )
    return "; ".join(cautions) + "." if cautions else ""


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:160]


family = OnnxFamily()
