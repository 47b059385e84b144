"""Rounds of measurements in; medians, ratios, and the table that shows them out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from rich.table import Table

from benchmarks.rounds import Measured

#: One round of one detector: each variant once.
Round = Mapping[str, Measured]


@dataclass(frozen=True, slots=True)
class Row:
    """A variant over all rounds. Ratios are taken within each round, so that a machine that drifts does not enter."""

    variant: str
    images: int
    images_per_s: float
    slowest: float
    fastest: float
    #: Times as many images/s as these; None where they were not measured.
    to_sequential: float | None
    to_per_call: float | None
    to_ideal: float | None
    first_result_s: float
    whole_s: float
    #: Whole command less the time that the ideal takes for as many images, its start left out.
    over_ideal_s: float | None
    largest_rss_mb: float
    all_rss_mb: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """All that one detector gave."""

    detector: str
    rows: tuple[Row, ...]
    rounds: tuple[tuple[Measured, ...], ...]
    #: Images of which the variants do not say the same, a line each.
    differences: tuple[str, ...]
    boxes: int


def summarise(rounds: Sequence[Round]) -> tuple[Row, ...]:
    return tuple(_row(variant, rounds) for variant in rounds[0])


def _row(variant: str, rounds: Sequence[Round]) -> Row:
    mine = [round_[variant] for round_ in rounds]
    speeds = [one.images_per_s for one in mine]
    whole_s = median(one.whole_s for one in mine)
    ideal = [round_["ideal"].images_per_s for round_ in rounds if "ideal" in round_]
    return Row(
        variant=variant,
        images=mine[0].images,
        images_per_s=round(median(speeds), 2),
        slowest=min(speeds),
        fastest=max(speeds),
        to_sequential=_ratio(variant, "sequential", rounds),
        to_per_call=_ratio(variant, "pool-per-call", rounds),
        to_ideal=_ratio(variant, "ideal", rounds),
        first_result_s=round(median(one.first_result_s for one in mine), 2),
        whole_s=round(whole_s, 2),
        over_ideal_s=round(whole_s - mine[0].images / median(ideal), 2) if ideal else None,
        largest_rss_mb=round(median(one.largest_rss_mb for one in mine)),
        all_rss_mb=round(median(one.all_rss_mb for one in mine)),
    )


def _ratio(variant: str, base: str, rounds: Sequence[Round]) -> float | None:
    if base not in rounds[0]:
        return None
    return round(median(one[variant].images_per_s / one[base].images_per_s for one in rounds), 3)


def table(comparison: Comparison) -> Table:
    """Each row of `comparison`, the pipeline's in bold."""
    title = f"{comparison.detector}: {comparison.boxes:,} boxes"
    shown = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="bold")
    shown.add_column("variant", no_wrap=True)
    for column in ("images", "images/s", "spread", "x sequential", "x per call", "x ideal"):
        shown.add_column(column, justify="right")
    for column in ("first result s", "command s", "over ideal s", "largest MiB", "all MiB"):
        shown.add_column(column, justify="right")
    for row in comparison.rows:
        shown.add_row(
            row.variant,
            f"{row.images:,}",
            f"{row.images_per_s:.1f}",
            f"{row.slowest:.1f}-{row.fastest:.1f}",
            _number(row.to_sequential),
            _number(row.to_per_call),
            _number(row.to_ideal),
            f"{row.first_result_s:.1f}",
            f"{row.whole_s:.1f}",
            _number(row.over_ideal_s, ".1f"),
            f"{row.largest_rss_mb:.0f}",
            f"{row.all_rss_mb:.0f}",
            style="bold" if row.variant == "pipeline" else None,
        )
    return shown


def _number(value: float | None, form: str = ".2f") -> str:
    return "" if value is None else format(value, form)
