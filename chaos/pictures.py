"""A seed and a count in, a folder of small images out: distinct ones, some twins under other names, and poison."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from chaos.poisonable import MARK_BLUE, MARK_RED, MARK_SIDE, POISONS

#: (height, width) in pixels.
SIZE = (48, 64)
#: (height, width) of the noise that is blown up to that.
_NOISE = (6, 8)
#: Images a folder.
_FOLDER = 1000
#: One image in so many repeats another's bytes.
_TWIN_EVERY = 200


@dataclass(frozen=True, slots=True)
class Pictures:
    folder: Path
    images: int
    #: Path relative to the folder, and the poison in it.
    poisoned: dict[str, str]


def make(folder: Path, images: int, seed: int, poisons: Sequence[str]) -> Pictures:
    """`images` in all, the poisoned ones, one of each of `poisons`, among them."""
    noise = np.random.default_rng(seed)
    places = random.Random(seed).sample(range(images), len(poisons))
    poison_at = dict(zip(places, poisons, strict=True))
    poisoned, data = {}, b""
    for number in range(images):
        path = folder / f"{number // _FOLDER:03d}" / f"{number:06d}.png"
        if number % _FOLDER == 0:
            path.parent.mkdir(parents=True)
        if number in poison_at:
            poisoned[str(path.relative_to(folder))] = poison_at[number]
            path.write_bytes(_poisoned(poison_at[number]))
            continue
        if not data or number % _TWIN_EVERY:
            small = noise.integers(0, 256, (*_NOISE, 3), np.uint8)
            data = _encoded(cv2.resize(small, SIZE[::-1], interpolation=cv2.INTER_LINEAR), ".jpg")
        path.with_suffix(".jpg").write_bytes(data)
    return Pictures(folder, images, poisoned)


def _poisoned(poison: str) -> bytes:
    """Without loss, or the mark would blur."""
    image = np.full((*SIZE, 3), 128, np.uint8)
    image[:MARK_SIDE, :MARK_SIDE] = (MARK_BLUE, POISONS[poison][0], MARK_RED)
    return _encoded(image, ".png")


def _encoded(image: cv2.typing.MatLike, ending: str) -> bytes:
    return cv2.imencode(ending, image)[1].tobytes()
