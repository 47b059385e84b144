"""A finished run's tables and its images in; `preview.jpg`, a contact sheet of up to twelve of them, out."""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from common.atomic_files import atomic_file
from common.datasets import glance, is_url, whole
from common.protocol.spec import Spec
from jobs.detect.selection import View
from jobs.detect.tables.parquet import DETECTIONS_FILE, open_table, read_images

if TYPE_CHECKING:
    from jobs.detect.reports.contact_sheet import Tile

PREVIEW_FILE = "preview.jpg"

#: Images on a sheet.
TILES = 12
#: Images of each twelfth of the dataset that stand in for one another where the first cannot be shown.
_STAND_INS = 4
#: For which images are fetched by URL: a server that has gone away must not hold up the end of a run.
_SECONDS = 20.0
#: More boxes than this make a tile hard to read; such images come after the others of their twelfth.
_CROWD = 8
_COLUMNS = ["item", "status", "detections", "max_score", "width", "height"]


@dataclass(frozen=True, slots=True)
class _Candidate:
    item: int
    path: bytes


@dataclass(frozen=True, slots=True)
class _Chosen:
    """For each place, the images that may fill it, the best first; and the totals for the heading.

    There may be more places than tiles: the later ones fill in for those that turn out empty.
    """

    places: list[list[_Candidate]]
    items: int
    detections: int


def write_preview(run_dir: Path, spec: Spec, root: bytes, destination: Path | None = None) -> Path:
    """Draws up to 12 images with the boxes that the spec's conf, classes and max_det show.

    Each is from another part of the dataset, those with detections before those without; a failed, vanished or huge
    image is passed over. The same tables and images give the same sheet.
    """
    from jobs.detect.reports import contact_sheet

    target = destination or run_dir / PREVIEW_FILE
    chosen = _choose(run_dir)
    boxes = _detections(run_dir, spec, {c.item for place in chosen.places for c in place})
    tiles: dict[int, Tile] = {}
    deadline = time.monotonic() + _SECONDS
    for place in chosen.places:
        if len(tiles) == TILES or (is_url(root) and time.monotonic() > deadline):
            break
        for candidate in place:
            if tile := _tile(candidate, root, spec, boxes.get(candidate.item)):
                tiles[candidate.item] = tile
                break
    heading = contact_sheet.Heading(
        title=f"{_number(chosen.detections, 'detection')} in {_number(chosen.items, 'image')}",
        detail=f"{spec.detector}, score from {spec.conf:g}",
        corner=run_dir.name,
    )
    with atomic_file(target) as file:
        contact_sheet.draw(heading, [tiles[item] for item in sorted(tiles)]).save(
            file, "JPEG", quality=90, subsampling=0, optimize=True
        )
    return target


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


@dataclass(frozen=True, slots=True, eq=False)
class _Images:
    """Those of some consecutive images that can be shown. The surer and easier to read, the more appeal."""

    numbers: Any
    appeal: Any
    #: Which of them have detections.
    found: Any


class _Places:
    """As many equal runs of the dataset as there are tiles; the best images of each. Holds no more than those."""

    def __init__(self, images: int) -> None:
        runs = min(TILES, images)
        self._ends = np.cumsum([images // runs + (run < images % runs) for run in range(runs)])
        self._best: list[list[tuple[float, int]]] = [[] for _ in range(runs)]
        self._seen = 0

    def add(self, images: _Images, which: Any) -> None:
        """Those of the images, which come in order, that `which` marks."""
        numbers, appeal = images.numbers[which], images.appeal[which]
        runs = np.searchsorted(self._ends, np.arange(self._seen, self._seen + len(numbers)), side="right")
        for run in np.unique(runs).tolist():
            more = zip((-appeal[runs == run]).tolist(), numbers[runs == run].tolist(), strict=True)
            self._best[run] = heapq.nsmallest(_STAND_INS, [*self._best[run], *more])
        self._seen += len(numbers)

    def items(self) -> list[list[int]]:
        return [[item for _, item in best] for best in self._best]


def _choose(run_dir: Path) -> _Chosen:
    """Cuts the images that have detections into twelve runs; those without fill what is missing."""
    items = detections = shown = found = 0
    for table in read_images(run_dir, _COLUMNS):
        images = _usable(table)
        items += table.num_rows
        detections += int(table["detections"].to_numpy().sum())
        shown += len(images.numbers)
        found += int(images.found.sum())
    with_detections, without = _Places(found), _Places(shown - found)
    for table in read_images(run_dir, _COLUMNS):
        images = _usable(table)
        with_detections.add(images, images.found)
        without.add(images, ~images.found)
    # Those without detections stand behind: they fill what the others leave free.
    places = with_detections.items() + without.items()
    wanted = _candidates(run_dir, {item for place in places for item in place})
    return _Chosen([[wanted[item] for item in place] for place in places], items, detections)


def _usable(table: Any) -> _Images:
    from jobs.detect.reports import contact_sheet

    status = np.array(table["status"].to_pylist())
    counts = table["detections"].to_numpy()
    pixels = table["width"].fill_null(0).to_numpy().astype(np.int64) * table["height"].fill_null(0).to_numpy()
    usable = (status == "ok") & (pixels <= contact_sheet.MAX_PIXELS)
    scores = table["max_score"].fill_null(0).to_numpy()
    # Readable tiles first, then the surest: 1 to _CROWD boxes beat a crowd.
    appeal = np.where(counts > _CROWD, scores - 1, scores)
    return _Images(table["item"].to_numpy()[usable], appeal[usable], counts[usable] > 0)


def _candidates(run_dir: Path, items: set[int]) -> dict[int, _Candidate]:
    found = {}
    first = 0
    for table in read_images(run_dir, ["path", "path_bytes"]):
        for item in sorted(i for i in items if first <= i < first + table.num_rows):
            row = table.slice(item - first, 1).to_pylist()[0]
            found[item] = _Candidate(item, row["path_bytes"] or row["path"].encode())
        first += table.num_rows
    return found


def _detections(run_dir: Path, spec: Spec, items: set[int]) -> dict[int, Any]:
    """The shown rows of `detections.parquet` by item; only row groups that can hold one of the items are read."""
    import pyarrow as pa

    view, wanted, found = View.of(spec), np.array(sorted(items), np.int64), {}
    for group in _groups(run_dir / DETECTIONS_FILE, wanted):
        table = group.filter(pa.array(np.isin(group["item"].to_numpy(), wanted)))
        owners = table["item"].to_numpy()
        keep = view.keep(owners, table["class_id"].to_numpy(), table["score"].to_numpy())
        shown = table.filter(pa.array(keep))
        owners = owners[keep]
        for item in np.unique(owners).tolist():
            found[item] = shown.filter(pa.array(owners == item))
    return found


def _groups(path: Path, items: Any) -> Iterator[Any]:
    with open_table(path) as file:
        for number in range(file.num_row_groups):
            extent = file.metadata.row_group(number).column(0).statistics
            if np.any((items >= extent.min) & (items <= extent.max)):
                yield file.read_row_group(number, use_threads=False)


def _tile(candidate: _Candidate, root: bytes, spec: Spec, rows: Any) -> Tile | None:
    """The image, small and upright, with its boxes; None if it can no longer be read."""
    from jobs.detect.reports import contact_sheet

    data = glance(whole(root, candidate.path))
    picture = None if data is None else contact_sheet.load(data, spec.parsed_scale())
    if picture is None:
        return None
    boxes = [] if rows is None else rows.to_pylist()
    return contact_sheet.Tile(
        picture=picture,
        name=candidate.path.decode("utf-8", "backslashreplace").rpartition("/")[2],
        boxes=tuple(
            contact_sheet.Box(row["label"], row["class_id"], row["score"], (row["x1"], row["y1"], row["x2"], row["y2"]))
            for row in boxes
        ),
    )
