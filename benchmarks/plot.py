"""Comparisons in, one picture of bars out: images/s of each variant, a panel a detector."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.summary import Comparison

#: Ours, the others, and what they are held against.
_COLOURS = {"pipeline": "#d1495b", "ideal": "#9aa5b1"}
_OTHERS = "#30638e"
_INK = "#26323d"
#: Inches.
_WIDTH, _HEAD, _BAR = 4.6, 1.6, 0.42


def draw(comparisons: Sequence[Comparison], caption: str, path: Path) -> None:
    """A PNG. Each panel has a scale of its own, and the spread of its rounds where there are several."""
    bars = max(len(comparison.rows) for comparison in comparisons)
    with mpl.rc_context({"font.size": 10, "text.color": _INK, "axes.labelcolor": _INK, "ytick.color": _INK}):
        figure = Figure((_WIDTH * len(comparisons) + 0.8, _HEAD + _BAR * bars), layout="constrained")
        panels = figure.subplots(1, len(comparisons), squeeze=False)[0]
        for panel, comparison in zip(panels, comparisons, strict=True):
            _panel(panel, comparison)
        title = "Images per second, and times sequential"
        figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
        figure.supxlabel(caption, x=0.01, ha="left", fontsize=8, color="#6b7783")
        figure.savefig(path, dpi=150)


def _panel(panel: Axes, comparison: Comparison) -> None:
    rows = comparison.rows[::-1]
    names, speeds = [row.variant for row in rows], [row.images_per_s for row in rows]
    panel.barh(names, speeds, height=0.68, color=[_COLOURS.get(name, _OTHERS) for name in names])
    if len(comparison.rounds) > 1:
        spread = [[row.images_per_s - row.slowest for row in rows], [row.fastest - row.images_per_s for row in rows]]
        panel.errorbar(speeds, names, xerr=spread, fmt="none", ecolor=_INK, elinewidth=1, capsize=2)
    for row in rows:
        times = "" if row.to_sequential is None else f"   {row.to_sequential:.2f}x"
        panel.annotate(
            f"{row.images_per_s:.1f}{times}",
            (max(row.fastest, row.images_per_s), row.variant),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    panel.set_title(comparison.detector, loc="left", fontsize=11)
    panel.set_xlim(0, max(row.fastest for row in rows) * 1.36)
    panel.spines[["top", "right", "left", "bottom"]].set_visible(False)
    panel.tick_params(length=0)
    panel.set_xticks([])
    for label in panel.get_yticklabels():
        label.set_fontweight("bold" if label.get_text() == "pipeline" else "normal")
