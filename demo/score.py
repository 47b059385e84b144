"""A run directory and a truth file in, a table of found against true out.

Run from the checkout's root: `python -m demo.score runs/RUN dataset/truth.json`.

How it counts: detections of a label with score >= the run's conf are taken best first, image by image. Each one is
*found* when the true box of its label that it overlaps most, of those not yet found, has an IoU of at least
MATCH_IOU with it; else it is *extra* (a second box on one person is extra too). True boxes left over are *missed*,
also those in images that failed. Images that are not in the truth, or still pending, do not count.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pyarrow.compute as pc
import pyarrow.parquet as pq
from rich import box
from rich.console import Console
from rich.table import Table

from demo.scene import Box, TrueBox

#: Intersection over union from which a detection counts as the true object's.
MATCH_IOU = 0.5


class ScoreError(Exception):
    """A run and a truth that cannot be held against each other: one line that says why."""


@dataclass(frozen=True, slots=True)
class Truth:
    """The true boxes of each image, by absolute path, and the labels that the truth knows."""

    folder: Path
    images: Mapping[Path, tuple[TrueBox, ...]]
    labels: frozenset[str]


@dataclass(frozen=True, slots=True)
class Looked:
    """What a run says: the images that it is done with, and of each the boxes from conf up, best first."""

    conf: float
    labels: tuple[str, ...]
    images: Mapping[Path, tuple[TrueBox, ...]]


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of one label in one folder."""

    images: int = 0
    true: int = 0
    found: int = 0
    extra: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.images + other.images,
            self.true + other.true,
            self.found + other.found,
            self.extra + other.extra,
        )

    @property
    def precision(self) -> float | None:
        """Share of the detections that are right; None where there are none."""
        return self.found / (self.found + self.extra) if self.found + self.extra else None

    @property
    def recall(self) -> float | None:
        """Share of the true objects that were found; None where there are none."""
        return self.found / self.true if self.true else None


def read_truth(path: Path) -> Truth:
    """A COCO data set file whose `file_name`s are relative to its own folder."""
    coco = json.loads(path.read_text())
    folder = path.resolve().parent
    labels = {category["id"]: category["name"] for category in coco["categories"]}
    boxes: dict[int, list[TrueBox]] = defaultdict(list)
    for annotation in coco["annotations"]:
        x, y, width, height = annotation["bbox"]
        true = TrueBox(labels[annotation["category_id"]], Box(x, y, x + width, y + height))
        boxes[annotation["image_id"]].append(true)
    images = {folder / image["file_name"]: tuple(boxes[image["id"]]) for image in coco["images"]}
    return Truth(folder, images, frozenset(labels.values()))


def read_run(run_dir: Path) -> Looked:
    """The tables of a run directory, with paths made absolute by the root in its spec."""
    spec = json.loads((run_dir / "run.json").read_text())["spec"]
    root = Path(spec["root"]).resolve()
    items = pq.read_table(run_dir / "images.parquet", columns=["item", "path", "status"])
    done = items.filter(pc.field("status") != "pending")
    boxes: dict[int, list[TrueBox]] = defaultdict(list)
    detections = pq.read_table(run_dir / "detections.parquet").filter(pc.field("score") >= spec["conf"])
    for row in detections.sort_by([("item", "ascending"), ("score", "descending")]).to_pylist():
        boxes[row["item"]].append(TrueBox(row["label"], Box(row["x1"], row["y1"], row["x2"], row["y2"])))
    images = {root / row["path"]: tuple(boxes[row["item"]]) for row in done.to_pylist()}
    return Looked(spec["conf"], tuple(spec["labels"]), images)


def score(looked: Looked, truth: Truth) -> dict[tuple[str, str], Tally]:
    """One tally for each (folder, label), in order. Raises ScoreError where nothing can be compared."""
    labels = [label for label in looked.labels if label in truth.labels]
    if not labels:
        raise ScoreError(
            f"the detector's labels ({', '.join(looked.labels[:5])}) are none of the truth's "
            f"({', '.join(sorted(truth.labels))}): choose a detector for one of these"
        )
    known = sorted(path for path in looked.images if path in truth.images)
    if not known:
        raise ScoreError(f"no image of the run is in the truth of {truth.folder}: score a run over that folder")
    tallies: dict[tuple[str, str], Tally] = defaultdict(Tally)
    for path in known:
        folder = str(PurePosixPath(path.relative_to(truth.folder)).parent)
        for label in labels:
            detected = [one.box for one in looked.images[path] if one.label == label]
            true = [one.box for one in truth.images[path] if one.label == label]
            tallies[folder, label] += match(detected, true)
    return dict(sorted(tallies.items()))


def match(detected: Sequence[Box], true: Sequence[Box]) -> Tally:
    """One image, one label: each detection, best first, takes the free true box that it overlaps most."""
    free = list(true)
    for guess in detected:
        best = max(free, key=guess.iou, default=None)
        if best is not None and guess.iou(best) >= MATCH_IOU:
            free.remove(best)
    found = len(true) - len(free)
    return Tally(images=1, true=len(true), found=found, extra=len(detected) - found)


def tabulate(tallies: Mapping[tuple[str, str], Tally], conf: float) -> Table:
    """A row for each folder and label, and one for each label over several folders."""
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        title="Found against true",
        caption=f"score >= {conf:g}; found: IoU >= {MATCH_IOU:g} with a true box, each once",
    )
    table.add_column("folder", no_wrap=True)
    table.add_column("label")
    for heading in ("images", "true", "found", "extra", "precision", "recall"):
        table.add_column(heading, justify="right", no_wrap=True)
    for (folder, label), tally in tallies.items():
        table.add_row(f"{folder}/", label, *_cells(tally))
    for label in sorted({label for _, label in tallies}):
        parts = [tally for (_, of), tally in tallies.items() if of == label]
        if len(parts) > 1:
            table.add_section()
            table.add_row("all", label, *_cells(sum(parts, Tally())), style="bold")
    return table


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m demo.score", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("truth", type=Path)
    options = parser.parse_args(argv)
    try:
        looked = read_run(options.run_dir)
        tallies = score(looked, read_truth(options.truth))
    except (ScoreError, FileNotFoundError) as error:
        print(f"demo.score: {error}", file=sys.stderr)
        return 1
    Console().print(tabulate(tallies, looked.conf))
    return 0


def _cells(tally: Tally) -> list[str]:
    counts = (tally.images, tally.true, tally.found, tally.extra)
    shares = (tally.precision, tally.recall)
    return [*(f"{count:,}" for count in counts), *("-" if share is None else f"{share:.2f}" for share in shares)]


if __name__ == "__main__":
    sys.exit(main())
