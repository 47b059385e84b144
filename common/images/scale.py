"""The values of a deep image that `--scale` maps to 0 and to 255."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from common.errors import UsageError

_PART = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)(%?)", re.IGNORECASE)
_EXAMPLE = "give MIN:MAX, as in --scale 0:4000, or percentages of each image's own values, as in --scale 2%:98%"


@dataclass(frozen=True, slots=True)
class Scale:
    """Values up to `low` become 0, values from `high` on 255. In percent, they are percentiles of each image."""

    low: float
    high: float
    percent: bool = False

    @classmethod
    def parse(cls, text: str) -> Scale:
        """`0:4000`, `-1.5:2e3` or `2%:98%`. Raises UsageError."""
        parts = [_PART.fullmatch(part.strip()) for part in text.split(":")]
        if len(parts) != 2 or parts[0] is None or parts[1] is None:
            raise UsageError(f"--scale {text} is no range; {_EXAMPLE}")
        low, high = float(parts[0][1]), float(parts[1][1])
        percent = parts[0][2] == "%"
        if parts[0][2] != parts[1][2]:
            raise UsageError(f"--scale {text} mixes a value and a percentage; {_EXAMPLE}")
        if not (math.isfinite(low) and math.isfinite(high)):
            raise UsageError(f"--scale {text} is out of all bounds; {_EXAMPLE}")
        if not low < high:
            raise UsageError(f"--scale {text}: {low:g} is not below {high:g}; {_EXAMPLE}")
        if percent and not 0 <= low < high <= 100:
            raise UsageError(f"--scale {text}: percentages are from 0 to 100; {_EXAMPLE}")
        return cls(low, high, percent)

    def __str__(self) -> str:
        """The shortest text that `parse` reads as the same."""
        return ":".join(f"{_short(value)}{'%' * self.percent}" for value in (self.low, self.high))


def _short(value: float) -> str:
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(value)
