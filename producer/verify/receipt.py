"""What a run's files agree and disagree on in, the receipt and its words for people out."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from common.logs import printable

#: Differences that are told of each part; the rest is counted, for a damaged run of a million images has a million.
TOLD = 5


class Part(StrEnum):
    """Where a difference lies."""

    STATE = "state"
    RUN = "run.json"
    SPEC = "spec"
    MANIFEST = "manifest"
    JOURNAL = "journal.bin"
    IMAGES = "images.parquet"
    DETECTIONS = "detections.parquet"
    TIMINGS = "timings.parquet"
    #: A dataset that a cancelled or stopped run had not listed to its end.
    LISTING = "listing"
    #: Items of a run that was cancelled or stopped before it came to them.
    PENDING = "pending"
    #: The images themselves.
    FILES = "files"


#: Of what the user told to end, or what is still to do: no damage.
_UNDONE = frozenset({Part.PENDING, Part.LISTING})
#: What `resume` makes again: the outputs, and the results of which the journal lost.
MENDABLE_PARTS = frozenset({Part.RUN, Part.JOURNAL, Part.IMAGES, Part.DETECTIONS, Part.TIMINGS})


class Findings:
    """The differences of one run: the first few of each part, and how many there are."""

    def __init__(self) -> None:
        self._told: list[str] = []
        self._counts: Counter[Part] = Counter()

    def add(self, part: Part, text: str) -> None:
        """`text` is one line, whatever it quotes."""
        self._counts[part] += 1
        if self._counts[part] <= TOLD:
            self._told.append(f"{part}: {printable(text)}")

    @property
    def told(self) -> tuple[str, ...]:
        return tuple(self._told)

    @property
    def more(self) -> int:
        return self._counts.total() - len(self._told)

    @property
    def mendable(self) -> bool:
        """Whether something is damaged, and `resume` can make all of that again."""
        damaged = self._counts.keys() - _UNDONE
        return bool(damaged) and damaged <= MENDABLE_PARTS


@dataclass(frozen=True, slots=True)
class Receipt:
    """The proof that every item is there exactly once, or what speaks against it.

    Counts and digest are those of the tables on disk, taken anew; 0 and None where they cannot be read.
    """

    run_id: str
    run_dir: str
    state: str
    items: int = 0
    ok: int = 0
    failed: int = 0
    pending: int = 0
    detections: int = 0
    digest: str | None = None
    differences: tuple[str, ...] = ()
    #: Differences that are not told.
    more: int = 0
    #: Whether `resume` can make again all that is damaged: the manifest is whole.
    mendable: bool = False
    #: Files that were read again and are as they were; None where nobody asked.
    files: int | None = None
    #: Items that were looked at and have no digest to compare their file with.
    without_digest: int = 0

    @property
    def agrees(self) -> bool:
        return not self.differences

    def with_findings(self, findings: Findings) -> Receipt:
        return replace(self, differences=findings.told, more=findings.more)

    def to_json(self) -> dict[str, Any]:
        return {"agrees": self.agrees, **asdict(self)}

    def lines(self) -> list[str]:
        """For people: what agreed, or what differs and what to do."""
        return self._agreement() if self.agrees else self._disagreement()

    def _agreement(self) -> list[str]:
        lines = [
            f"{self.run_id}: the receipt agrees: {self.items:,} items, each there exactly once "
            f"({self.ok:,} ok, {self.failed:,} failed), {self.detections:,} detections",
            f"manifest, journal, tables, counts and digests say the same; the tables' digest is {self.digest}",
        ]
        if self.files is not None:
            lines.append(f"{self.files:,} files were read again: all are as they were")
        if self.files is not None and self.without_digest:
            lines.append(f"{self.without_digest:,} items have no digest to compare their file with")
        return lines

    def _disagreement(self) -> list[str]:
        total = len(self.differences) + self.more
        lines = [f"error: run {self.run_id}: the receipt does not agree: {total:,} difference{'s' * (total != 1)}"]
        lines += [f"  {line}" for line in self.differences]
        if self.more:
            lines.append(f"  and {self.more:,} more")
        if self.mendable:
            lines.append(f"to make again what is damaged:  producer resume {self.run_dir}")
        return lines
