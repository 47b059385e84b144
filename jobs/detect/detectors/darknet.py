"""`darknet`: a YOLO in .cfg and .weights files, on OpenCV's importer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from common.errors import ModelError, UsageError
from common.images.image import Image
from common.protocol.detector_info import DetectorInfo
from jobs.detect.detectors import boxes, labels, letterbox, unused_options
from jobs.detect.detectors.base import Detections, DetectOptions, ModelSource
from jobs.detect.detectors.cpu import instruction_set
from jobs.detect.detectors.letterbox import Pixels
from jobs.detect.models import darknet_files
from jobs.detect.models.darknet_files import DarknetFiles

#: Darknet's own loader stretches too (`resize_image` in its `test_detector`).
PIXELS = Pixels("RGB", "stretch", std=(255.0, 255.0, 255.0))
#: OpenCV zeroes class scores at or under `thresh`, 0.2 unless the cfg says otherwise: a lower floor would silently
#: find nothing more.
LEAST_SCORE = 0.001
#: Sections whose output is boxes. OpenCV suppresses inside [region] (YOLOv2), at 0.4, and cannot be told not to.
_OUTPUTS = ("yolo", "region")
_REGION_IOU = 0.4
#: Bytes before the first weight: three int32, then images seen as int32, or as int64 from version 0.2 on.
_HEADER = np.dtype([("major", "<i4"), ("minor", "<i4"), ("revision", "<i4")])

Rows = list[npt.NDArray[np.float32]]


class DarknetDetector:
    """Stretched to the network's size; boxes are relative to it; a box may have several labels, as in Darknet."""

    def __init__(self, info: DetectorInfo, net: Any) -> None:
        self.info = info
        self._net = net
        self._outputs = net.getUnconnectedOutLayersNames()

    def preprocess(self, image: Image, options: DetectOptions) -> npt.NDArray[np.floating]:
        if options.imgsz not in (None, self.info.input_size):
            raise UsageError(f"{self.info.name} has its size from its cfg; leave out --imgsz")
        assert self.info.input_size is not None
        return letterbox.to_tensor(image, self.info.input_size, PIXELS)

    def infer(self, prepared: npt.NDArray[np.floating]) -> Rows:
        self._net.setInput(prepared)
        return [np.array(out) for out in self._net.forward(self._outputs)]

    def postprocess(self, raw: Rows, image: Image, options: DetectOptions) -> Detections:
        boxes.refuse_nan(raw)
        height, width = image.shape[:2]
        out = np.concatenate([rows.reshape(-1, rows.shape[-1]) for rows in raw])
        out = out[out[:, 4] >= options.floor]
        rows, ids = np.nonzero(out[:, 5:] >= options.floor)
        centre, half = out[rows, :2], out[rows, 2:4] / 2
        relative = np.concatenate((centre - half, centre + half), axis=1)
        scale = np.array((width, height) * 2, np.float32)
        found = boxes.candidates(relative * scale, out[rows, 5 + ids], ids)
        iou = options.iou if self.info.iou_adjustable else None
        return boxes.finish(boxes.suppress(found, iou, options.floor), height, width)


@dataclass(frozen=True, slots=True)
class _Config:
    """A cfg with the threshold mended, and what it says of the network."""

    text: str
    #: (height, width)
    size: tuple[int, int]
    classes: int
    outputs: frozenset[str]


class DarknetFamily:
    suffixes: tuple[str, ...] = (".cfg", ".weights")

    def load(self, source: ModelSource) -> DarknetDetector:
        unused_options.refuse(source, head=True)
        both = darknet_files.read(unused_options.path_of(source), source.weights)
        config = _mend(both.cfg_data.decode("utf-8", "replace"), both.cfg)
        net = _open(config, both)
        names = labels.darknet_names(both.cfg, config.classes)
        region = "region" in config.outputs
        info = DetectorInfo(
            name=source.name,
            family="darknet",
            head="darknet",
            weights_sha256=both.sha256,
            labels=labels.choose(both.cfg, config.classes, None, source.labels or names),
            input_size=config.size,
            flexible_input=False,
            iou_adjustable=not region,
            refilterable=True,
            default_conf=0.25,
            default_iou=_REGION_IOU if region else 0.45,
            preprocessing=PIXELS.text,
            caution=_caution(both),
            engine="opencv",
            engine_version=cv2.__version__,
            instruction_set=instruction_set(),
        )
        return DarknetDetector(info, net)


def _caution(both: DarknetFiles) -> str:
    pair = "" if both.same_stem else f"{both.cfg.name} runs with the weights in {both.weights.name}. "
    return f"{pair}Scores of {LEAST_SCORE} or less are left out by OpenCV, whatever the floor."


def _mend(text: str, path: Path) -> _Config:
    """Puts our threshold into each output section, and takes its own out. Raises ModelError."""
    lines: list[str] = []
    settings: dict[str, str] = {}
    section, outputs, classes = "", set(), set()
    for line in text.splitlines():
        header = re.fullmatch(r"\s*\[(\w+)\]\s*", line)
        key, _, value = (part.strip() for part in line.partition("="))
        if header:
            section = header[1]
            lines.append(line)
            if section in _OUTPUTS:
                outputs.add(section)
                lines += [f"thresh={LEAST_SCORE}", "nms_threshold=0"]
        elif section in _OUTPUTS and key in ("thresh", "nms_threshold"):
            continue
        else:
            lines.append(line)
            if section in _OUTPUTS and key == "classes":
                classes.add(value)
            elif section == "net":
                settings[key] = value
    if not outputs:
        raise ModelError(f"{path} is not a detector: it has no [yolo] or [region] section")
    try:
        (count,) = classes
        size = (int(settings["height"]), int(settings["width"]))
        return _Config("\n".join(lines) + "\n", size, int(count), frozenset(outputs))
    except (KeyError, ValueError):
        raise ModelError(f"{path}: width, height or classes are missing or not one number; is it whole?") from None


def _open(config: _Config, both: DarknetFiles) -> Any:
    """OpenCV reads a cut-off weights file without a word and leaves the rest of the network unset, so the size is
    checked against what the network has room for."""
    data, name = both.weights_data, both.weights.name
    try:
        net = cv2.dnn.readNetFromDarknet(np.frombuffer(config.text.encode(), np.uint8), np.frombuffer(data, np.uint8))
        expected = _header_bytes(data) + 4 * sum(_weights(net))
    except (cv2.error, ValueError, IndexError) as error:
        why = " ".join(str(error).split())[:160]
        raise ModelError(f"{both.cfg} with {name} cannot be loaded by OpenCV ({why}); download both again") from None
    if len(data) != expected:
        what = "cut short" if len(data) < expected else "not this cfg's"
        raise ModelError(
            f"{both.weights} is {what}: {len(data)} bytes, and {both.cfg.name} needs {expected}; download both again"
        )
    net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
    return net


def _header_bytes(data: bytes) -> int:
    head = np.frombuffer(data, _HEADER, 1)[0]
    return _HEADER.itemsize + (8 if head["major"] * 10 + head["minor"] >= 2 else 4)


def _weights(net: Any) -> list[int]:
    """Numbers that each layer has from the weights file; anchors come from the cfg."""
    layers = [net.getLayer(index) for index in range(1, len(net.getLayerNames()) + 1)]
    return [blob.size for layer in layers if layer.type != "Region" for blob in layer.blobs or ()]


family = DarknetFamily()
