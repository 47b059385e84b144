"""`--max-failures N` or `P%` in; whether a run is going wrong out."""

from __future__ import annotations

import re
from dataclasses import dataclass

from common.errors import UsageError

_FORM = re.compile(r"(\d+)|(\d+(?:\.\d+)?)%")


@dataclass(frozen=True, slots=True)
class MaxFailures:
    """More failed images than these stop a run: a number, or a share of all its images."""

    count: int | None = None
    percent: float | None = None

    @classmethod
    def parse(cls, text: str | None) -> MaxFailures | None:
        """Raises UsageError."""
        if text is None:
            return None
        match = _FORM.fullmatch(text.strip())
        if match is None or (match[2] and float(match[2]) > 100):
            raise UsageError(f"--max-failures {text} is not possible; give a number of images, or a share as 5%")
        return cls(int(match[1])) if match[1] else cls(percent=float(match[2]))

    def passed(self, failed: int, items: int | None) -> bool:
        """`items` is None while the dataset is still being listed: a share is not known before."""
        if self.count is not None:
            return failed > self.count
        return items is not None and self.percent is not None and failed > items * self.percent / 100
