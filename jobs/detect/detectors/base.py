"""The one protocol behind which every detector stands: pixels in, detections out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from common.images.image import Image
from common.protocol.detector_info import DetectorInfo


@dataclass(frozen=True, slots=True)
class DetectOptions:
    """What a run may change for each call. `imgsz` is (height, width) or None for the model's own."""

    iou: float
    floor: float
    imgsz: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """All boxes of one image at or above the floor, sorted by score descending, then class, then box.

    boxes (n, 4) float32 x1 y1 x2 y2 in image pixels, clipped to the image; scores (n,) float32 in 0..1;
    class_ids (n,) int32.
    """

    boxes: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    class_ids: npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class ModelSource:
    """What to load: a name the user chose, a file where the family needs one, and what cannot be guessed."""

    name: str
    path: Path | None = None
    head: str | None = None
    labels: Path | None = None
    #: Of a Darknet .cfg, where they cannot be told by their name.
    weights: Path | None = None


class Detector(Protocol):
    """A loaded model, used by one thread of one process. The three stages are apart so that each can be timed."""

    info: DetectorInfo

    def preprocess(self, image: Image, options: DetectOptions) -> Any:
        """Image to whatever `infer` takes. Does not change `image`."""

    def infer(self, prepared: Any) -> Any:
        """The network itself, on one thread."""

    def postprocess(self, raw: Any, image: Image, options: DetectOptions) -> Detections:
        """Raw outputs to boxes in the image's own pixels, after class-wise non-maximum suppression."""


class Family(Protocol):
    """A kind of model. Registered under its name in the entry-point group `manyeyes.detectors`."""

    #: File endings that it loads, lower case with the dot; empty for a detector with nothing to load.
    suffixes: tuple[str, ...]

    def load(self, source: ModelSource) -> Detector:
        """Raises ModelError, one line that names the file and the remedy."""
