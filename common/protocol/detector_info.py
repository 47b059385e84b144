"""What a worker says of a detector it has loaded, so that a producer can choose and check without the model."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from common import typed_json


@dataclass(frozen=True, slots=True)
class DetectorInfo:
    """One loaded detector. What follows from its weights, is words or is of the machine is not in its digest."""

    name: str
    #: Entry-point name: hog, cascade, onnx, darknet, or another package's.
    family: str
    #: How raw outputs become boxes: `yolox`, `yolov8`, ... ; the family's name where there is one way only.
    head: str
    weights_sha256: str
    labels: tuple[str, ...]
    #: (height, width) that the network sees; None where the detector takes the image as it is.
    input_size: tuple[int, int] | None
    #: True where --imgsz can change `input_size`.
    flexible_input: bool
    #: False where non-maximum suppression is in the graph: --iou is refused.
    iou_adjustable: bool
    #: True where filtering by a higher conf afterwards equals inferring again.
    refilterable: bool
    default_conf: float
    default_iou: float
    #: Pixels in: colour order, scale, mean, std, padding; all that changes what the network sees.
    preprocessing: str
    #: What it cannot do and what to use instead, one sentence; empty where there is nothing to warn of.
    caution: str = ""
    engine: str = ""
    engine_version: str = ""
    instruction_set: str = ""
    ms_per_image: float = 0.0
    #: --imgsz is rounded up to a multiple of it; network pixels.
    stride: int = 32

    @property
    def digest(self) -> str:
        """SHA-256 over weights, labels, head and preprocessing: equal digests give equal detections."""
        same = {k: v for k, v in asdict(self).items() if k not in _NOT_IN_DIGEST}
        return hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()

    @property
    def queue(self) -> str:
        """The Celery queue of this detector: different weights never mix."""
        return f"{self.name}-{self.digest[:8]}"

    def to_json(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "labels": list(self.labels),
            "input_size": self.input_size and list(self.input_size),
        }

    @classmethod
    def from_json(cls, data: Any) -> DetectorInfo:
        """Raises ProtocolError."""
        return typed_json.read(cls, data)


def whole_cells(size: tuple[int, int], stride: int) -> tuple[int, int]:
    """(height, width) rounded up to multiples of the stride."""
    return -(-size[0] // stride) * stride, -(-size[1] // stride) * stride


#: Words for people, the machine's engine, and the name by which this worker serves it.
_NOT_IN_DIGEST = {
    "name",
    "caution",
    "engine",
    "engine_version",
    "instruction_set",
    "ms_per_image",
    "default_conf",
    "stride",
}
