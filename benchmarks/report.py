"""What a variant's own process says of itself, on its way to the process that started it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.sameness import Fingerprints


@dataclass(frozen=True, slots=True)
class Report:
    """Instants are of the monotonic clock, which all processes of a machine share."""

    #: The first image's start: models are loaded by then, where they are loaded before.
    began: float
    #: The caller has a first result; None where only a file that appears can say so.
    first: float | None
    #: The caller has the last result.
    ended: float
    fingerprints: Fingerprints

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> Report:
        return cls(**json.loads(path.read_text()))
