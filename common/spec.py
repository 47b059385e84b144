"""A run's options in, a digest out: what is fixed at submit and can never change on resume."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from common.errors import ProtocolError
from common.limits import DEFAULT_IMAGE_TIMEOUT_S, DEFAULT_MAX_PIXELS


@dataclass(frozen=True, slots=True)
class Spec:
    """Everything that decides a run's rows. Paths are absolute; undecodable bytes are surrogate-escaped."""

    datasets: tuple[str, ...]
    root: str
    detector: str
    #: Digest of the detector that was pinned at submit, and the queue that serves it.
    detector_digest: str
    queue: str
    labels: tuple[str, ...]
    conf: float
    iou: float
    floor: float
    imgsz: tuple[int, int] | None = None
    #: Class ids to keep in exports and counts; None keeps all.
    classes: tuple[int, ...] | None = None
    max_det: int = 300
    max_pixels: int = DEFAULT_MAX_PIXELS
    limit: int | None = None
    #: Seconds that one image may take before its process is killed; 0: for ever.
    image_timeout: float = DEFAULT_IMAGE_TIMEOUT_S
    refilterable: bool = True

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.to_text().encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def to_text(self) -> str:
        """Canonical JSON (ASCII, sorted keys): the same spec is the same bytes."""
        return json.dumps(self.to_json(), sort_keys=True)

    @classmethod
    def from_text(cls, text: str) -> Spec:
        """Options that an earlier version did not have are as by default. Raises ProtocolError for a later one's."""
        try:
            data: dict[str, Any] = json.loads(text)
            for name in ("datasets", "labels", "imgsz", "classes"):
                if data.get(name) is not None:
                    data[name] = tuple(data[name])
            return cls(**data)
        except (ValueError, TypeError, AttributeError) as error:
            raise ProtocolError(f"a spec that this version cannot read: {error}") from None
