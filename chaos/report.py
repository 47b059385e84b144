"""Wounds and a receipt in; a table for people, one object for programs, and the verdict out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from rich.table import Table

from chaos.receipt import Receipt
from chaos.wounds import Wound


@dataclass(frozen=True, slots=True)
class KindFacts:
    """Faults of one kind. Seconds to recover, of each in the order of their strikes; `unhealed` had not at the end."""

    kind: str
    count: int
    median_s: float | None
    worst_s: float | None
    unhealed: int
    each_s: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    seed: int
    seconds: float
    quiet_s: float
    workers: int
    processes: int
    kinds: tuple[KindFacts, ...]
    resumed: int
    #: Workers and producers that ended though no fault told them to.
    surprises: tuple[str, ...]
    #: False where the run hung, and was stopped.
    ended: bool
    images: int
    done: int
    #: None where it was stopped: what had not been done yet is not lost, `producer resume` would do it.
    receipt: Receipt | None

    @property
    def faults(self) -> int:
        return sum(kind.count for kind in self.kinds)

    @property
    def clean(self) -> bool:
        return self.receipt is not None and self.receipt.clean and not any(kind.unhealed for kind in self.kinds)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "faults": self.faults, "clean": self.clean}

    def sentence(self) -> str:
        lines = [
            f"{self.faults} faults of {len(self.kinds)} kinds in {self.seconds:.0f} s, seed {self.seed}; "
            f"{self.workers} workers, {self.processes} processes; producer resumed {self.resumed} times",
            f"images {self.images:,}, {self.done:,} done when it was stopped, for it hung"
            if self.receipt is None
            else _compared(self.receipt),
            *(f"nobody asked for it: {line}" for line in self.surprises),
            "clean: the same bytes as the quiet run's" if self.clean else "NOT CLEAN",
        ]
        return "\n".join(lines)


def _compared(receipt: Receipt) -> str:
    """With the quiet run."""
    files = ", ".join(receipt.files_different) or "none"
    verify = receipt.verify or "not in this checkout"
    failed = ", ".join(f"{count} {code}" for code, count in sorted(receipt.failed.items())) or "none"
    return (
        f"images {receipt.images:,}, lost {receipt.lost}, doubled {receipt.doubled}, "
        f"rows different {receipt.rows_different}, files different: {files}; failed rows: {failed}; verify: {verify}"
    )


def by_kind(wounds: Sequence[Wound]) -> tuple[KindFacts, ...]:
    """In the order of names."""
    found = []
    for kind in sorted({wound.kind for wound in wounds}):
        mine = [wound.healed_s for wound in wounds if wound.kind == kind]
        healed = [seconds for seconds in mine if seconds is not None]
        middle, worst = (round(median(healed), 1), round(max(healed), 1)) if healed else (None, None)
        each = tuple(round(seconds, 1) for seconds in healed)
        found.append(KindFacts(kind, len(mine), middle, worst, len(mine) - len(healed), each))
    return tuple(found)


def table(kinds: Sequence[KindFacts]) -> Table:
    shown = Table("fault", "count", "median s", "worst s", "each s", "not healed", title="seconds to recover")
    for one in kinds:
        each = " ".join(f"{seconds:.0f}" for seconds in one.each_s)
        seconds = (str(one.median_s), str(one.worst_s), each)
        shown.add_row(one.kind, str(one.count), *seconds, str(one.unhealed or ""))
    return shown
