"""A run's options in, a digest out: what is fixed at submit and can never change on resume."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from common import typed_json
from common.errors import ProtocolError, UsageError
from common.images.scale import Scale
from common.limits import DEFAULT_IMAGE_TIMEOUT_S, DEFAULT_MAX_PIXELS, MAX_SIDE

#: Fields that came after protocol 2, with the defaults that they have in its specs.
_LATER: dict[str, Any] = {"scale": None, "exclude": ()}


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
    #: As common.images.scale.Scale reads it: what becomes 0 and 255 in deep images; None: their whole range.
    scale: str | None = None
    #: Patterns of what the dataset's folders, globs and lists leave out.
    exclude: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.to_text().encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Without later fields that have their default: a spec of before keeps its digest."""
        fields = asdict(self)
        return {name: value for name, value in fields.items() if name not in _LATER or value != _LATER[name]}

    def to_text(self) -> str:
        """Canonical JSON (ASCII, sorted keys): the same spec is the same bytes."""
        return json.dumps(self.to_json(), sort_keys=True)

    @classmethod
    def from_text(cls, text: str) -> Spec:
        """Raises ProtocolError for what no producer writes: a worker does as it is told here."""
        try:
            spec = typed_json.read(cls, json.loads(text))
        except (ValueError, RecursionError) as error:
            raise ProtocolError(f"a spec that is no JSON: {error}") from None
        shares = (spec.conf, spec.iou, spec.floor)
        sides = spec.imgsz or (MAX_SIDE,)
        if not (
            all(0 <= share <= 1 for share in shares)
            and all(0 < side <= MAX_SIDE for side in sides)
            and spec.max_pixels > 0
            and spec.image_timeout >= 0
            and "\0" not in spec.root
        ):
            raise ProtocolError("a spec whose thresholds, sizes or root are out of all bounds")
        try:
            spec.parsed_scale()
        except UsageError as error:
            raise ProtocolError(f"a spec whose scale is none: {error}") from None
        return spec

    def parsed_scale(self) -> Scale | None:
        return None if self.scale is None else Scale.parse(self.scale)
