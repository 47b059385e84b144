"""A detector in, the bare lines by which a tutorial loads the same network out.

Our own loading also hashes the file, recognises the head and warms up, which made it twice as slow (42 ms for 20 ms,
YOLOX-nano). A variant that loads at every call would look worse than it is with that.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime

from common.settings import Settings
from jobs.detect.detectors import load
from jobs.detect.detectors.base import Detector
from jobs.detect.detectors.darknet import LEAST_SCORE
from jobs.detect.models import model_zoo

#: What `Detector.preprocess` gives in, what `Detector.postprocess` takes out.
Infer = Callable[[Any], Any]


def loader(text: str, detector: Detector) -> Callable[[], Infer]:
    """A function that loads the network of `detector`, which `text` named, again."""
    cache = Settings().cache
    model = model_zoo.named(text)
    path = cache / model.filename if model and cache else Path(text.rpartition("=")[2])
    match detector.info.family:
        case "onnx":
            return lambda: _onnx(path)
        case "darknet":
            return lambda: _darknet(path)
        case _:
            return lambda: load.load(text, cache_dir=cache).infer


def _onnx(path: Path) -> Infer:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda tensor: [np.asarray(out, np.float32) for out in session.run(None, {name: tensor})]


def _darknet(path: Path) -> Infer:
    """With the detector's own threshold, or the two would not find the same."""
    cfg = path.with_suffix(".cfg").read_bytes()
    for section in (b"[yolo]", b"[region]"):
        cfg = cfg.replace(section, section + f"\nthresh={LEAST_SCORE}\nnms_threshold=0".encode())
    net = cv2.dnn.readNetFromDarknet(
        np.frombuffer(cfg, np.uint8), np.frombuffer(path.with_suffix(".weights").read_bytes(), np.uint8)
    )
    net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
    outputs = net.getUnconnectedOutLayersNames()

    def infer(tensor: Any) -> Any:
        net.setInput(tensor)
        return net.forward(outputs)

    return infer
