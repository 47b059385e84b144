"""A number in; a folder of that many image files, hard links to a few tiny ones, out."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np

from common.errors import ManyeyesError

#: Files a folder, as cameras and datasets have them.
FILES = 1000
#: Pixels a side.
SIDE = 32
#: Links to one file; ext4 takes 65,000.
_LINKS = 20_000


def make(folder: Path, items: int) -> None:
    """`000/000000.jpg` and on. Raises ManyeyesError where the disk has no hard links."""
    source = b""
    for number in range(items):
        if number % FILES == 0:
            below = os.fsencode(folder / f"{number // FILES:06d}")
            os.makedirs(below)  # noqa: PTH103 - a million times: no Path objects here
        path = b"%s/%09d.jpg" % (below, number)
        if number % _LINKS == 0:
            source = path
            Path(os.fsdecode(path)).write_bytes(_jpeg(number // _LINKS))
            continue
        try:
            os.link(source, path)
        except OSError as error:
            text = (
                f"cannot make a hard link in {folder} ({error.strerror}); name a folder on another disk with --folder"
            )
            raise ManyeyesError(text) from None


def _jpeg(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
    return bytes(cv2.imencode(".jpg", cv2.blur(pixels, (9, 9)))[1])
