"""Compares simplejpeg, as a worker uses it, with OpenCV: whether the pixels are equal, and which is faster.

Both decode each file in turn, so that a machine that drifts does so for both. The files are taken as they are, and some
of them enlarged to 12 megapixels. The exit code is 1 where a pixel differs.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Annotated

import cv2
import numpy as np
import typer
from cv2.typing import MatLike
from rich.console import Console
from rich.table import Table

from benchmarks import machine
from common.images import headers, jpeg

#: Pixels: what a phone's camera gives.
LARGE = (4000, 3000)
#: JPEG's, of programs and of cameras, for the large pictures in turn.
QUALITIES = (75, 92, 97)

console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)


@dataclass(slots=True)
class Compared:
    """What became of the files of one kind."""

    name: str
    files: int = 0
    #: Files that simplejpeg is not asked for, or has something to say of: a worker decodes them as before.
    left: int = 0
    #: Files whose pixels are not equal.
    differing: list[str] = field(default_factory=list)
    #: CPU seconds, of OpenCV and of simplejpeg, for each decoding.
    seconds: list[tuple[float, float]] = field(default_factory=list)

    def row(self) -> tuple[str, ...]:
        ratios = sorted(before / after for before, after in self.seconds) or [float("nan")]
        before, after = (median(column) * 1e3 for column in zip(*self.seconds, strict=True)) if self.seconds else (0, 0)
        spread = f"{ratios[len(ratios) // 10]:.2f}-{ratios[-1 - len(ratios) // 10]:.2f}"
        equal = self.files - self.left - len(self.differing)
        counts = (self.name, str(self.files), str(equal), str(len(self.differing)), str(self.left))
        return *counts, f"{before:.2f}", f"{after:.2f}", f"{median(ratios):.2f} ({spread})"


def main(
    data: Annotated[list[Path], typer.Option(help="A folder with JPEGs; may be given again.")],
    repeat: Annotated[int, typer.Option(help="Times that each file is decoded.")] = 5,
    timed: Annotated[int, typer.Option(help="Files as they are that are timed; all are compared.")] = 100,
    large: Annotated[int, typer.Option(help="Pictures of 12 megapixels to make.")] = 9,
) -> None:
    cv2.setNumThreads(1)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    files = sorted(path for folder in data for path in folder.rglob("*") if path.is_file() and _is_jpeg(path))
    if not files:
        raise typer.BadParameter(f"no JPEG below {', '.join(map(str, data))}")
    console.print(f"{machine.describe().sentence()}, load {machine.describe().load}")
    small = Compared("as they are")
    every = max(len(files) // timed, 1)
    for number, path in enumerate(files):
        _compare(small, str(path), path.read_bytes(), repeat if number % every == 0 else 0)
    enlarged = Compared("12 megapixels")
    for name, picture in _enlarged(files, large):
        _compare(enlarged, name, picture, repeat)
    _print(small, enlarged)
    sys.exit(bool(small.differing or enlarged.differing))


def _is_jpeg(path: Path) -> bool:
    with path.open("rb") as file:
        return headers.sniff(file.read(64)) == "JPEG"


def _enlarged(files: list[Path], count: int) -> Iterator[tuple[str, bytes]]:
    for number in range(count):
        path, quality = files[number * len(files) // count], QUALITIES[number % len(QUALITIES)]
        picture = _by_opencv(path.read_bytes())
        if picture is not None:
            grown = cv2.resize(picture, LARGE, interpolation=cv2.INTER_CUBIC)
            coded = cv2.imencode(".jpg", grown, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
            yield f"{path}, enlarged, quality {quality}", coded.tobytes()


def _compare(found: Compared, name: str, data: bytes, repeat: int) -> None:
    found.files += 1
    header = headers.read_header(data)
    if header is None or (ours := jpeg.read(data, *header.stored_size)) is None:
        found.left += 1
        return
    theirs = _by_opencv(data)
    if theirs is None or not np.array_equal(ours, theirs):
        found.differing.append(name)
    ways = (_by_opencv, lambda coded: jpeg.read(coded, *header.stored_size))
    for number in range(repeat):
        spent = [0.0, 0.0]
        for way in (0, 1) if number % 2 else (1, 0):
            started = time.process_time()
            ways[way](data)
            spent[way] = time.process_time() - started
        found.seconds.append((spent[0], spent[1]))


def _by_opencv(data: bytes) -> MatLike | None:
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        return None


def _print(*rows: Compared) -> None:
    table = Table()
    for column in (
        "JPEGs",
        "files",
        "equal",
        "differ",
        "left to OpenCV",
        "OpenCV ms",
        "simplejpeg ms",
        "times as fast",
    ):
        table.add_column(column, justify="left" if column == "JPEGs" else "right")
    for row in rows:
        table.add_row(*row.row())
    console.print(table)
    for name in (name for row in rows for name in row.differing):
        console.print(f"differs: {name}")


if __name__ == "__main__":
    typer.run(main)
