"""Packaged photographs in, mosaics of them out, with the box of every face and person in them.

The photographs are files of the wheels of scikit-image (NASA's portrait of Eileen Collins, and pictures without
people) and of matplotlib (the US Navy's portrait of Grace Hopper): nothing is downloaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from itertools import pairwise

import cv2
import numpy as np

from demo.scene import HEIGHT, WIDTH, Box, Pixels, Scene, TrueBox


@dataclass(frozen=True, slots=True)
class Portrait:
    """A photograph of one person. Boxes by hand: the face from hairline or hat to chin, and all of the person."""

    package: str
    file: str
    face: Box
    person: Box


@dataclass(frozen=True, slots=True, eq=False)
class Photographs:
    """The decoded photographs, with a person (in the order of PORTRAITS) and without."""

    portraits: tuple[Pixels, ...]
    others: tuple[Pixels, ...]


PORTRAITS = (
    Portrait("skimage", "data/astronaut.png", Box(178, 72, 272, 186), Box(12, 14, 364, 512)),
    Portrait("matplotlib", "mpl-data/sample_data/grace_hopper.jpg", Box(163, 122, 370, 335), Box(8, 22, 512, 600)),
)
#: Files of scikit-image with nobody in them. (Not its coins: they bear heads.)
OTHERS = (
    "chelsea.png",
    "coffee.png",
    "rocket.jpg",
    "motorcycle_left.png",
    "hubble_deep_field.jpg",
    "moon.png",
    "gravel.png",
    "brick.png",
    "grass.png",
)

#: Columns and rows of tiles: 1 to 9 photographs an image.
GRIDS = ((1, 1), (2, 1), (2, 2), (3, 2), (3, 3))
#: Share of the tiles that show a person.
PORTRAIT_SHARE = 0.45
#: Face widths and heights: a crop is at least this large.
TIGHTEST_CROP = 1.35


def load_photographs() -> Photographs:
    """Reads them from the installed packages. Raises FileNotFoundError where one is not installed."""
    return Photographs(
        tuple(_read(portrait.package, portrait.file) for portrait in PORTRAITS),
        tuple(_read("skimage", f"data/{name}") for name in OTHERS),
    )


def compose_faces(photographs: Photographs, rng: np.random.Generator) -> Scene:
    """A mosaic of 1 to 9 photographs, each cropped, scaled, perhaps flipped, and in its own light."""
    columns, rows = GRIDS[int(rng.integers(len(GRIDS)))]
    across = np.linspace(0, WIDTH, columns + 1).astype(int).tolist()
    down = np.linspace(0, HEIGHT, rows + 1).astype(int).tolist()
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    truth: list[TrueBox] = []
    for top, bottom in pairwise(down):
        for left, right in pairwise(across):
            tile = _choose_tile(photographs, rng, right - left, bottom - top)
            pixels[top:bottom, left:right] = tile.pixels
            truth += [TrueBox(true.label, _move(true.box, left, top)) for true in tile.truth]
    return Scene(pixels, tuple(truth))


def _read(package: str, file: str) -> Pixels:
    try:
        encoded = files(package).joinpath(file).read_bytes()
    except (ModuleNotFoundError, FileNotFoundError):
        raise FileNotFoundError(f"{package}/{file} is not installed: pip install '.[demo]'") from None
    image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None, f"{package}/{file} is not an image"
    return image.astype(np.uint8, copy=False)


def _choose_tile(photographs: Photographs, rng: np.random.Generator, width: int, height: int) -> Scene:
    """One photograph cropped to fill a tile, with its own truth."""
    truth: tuple[TrueBox, ...] = ()
    if rng.random() < PORTRAIT_SHARE:
        chosen = int(rng.integers(len(PORTRAITS)))
        photograph, portrait = photographs.portraits[chosen], PORTRAITS[chosen]
        crop = _crop_around(rng, portrait.face, photograph, width / height)
        truth = (TrueBox("person", portrait.person), TrueBox("face", portrait.face))
    else:
        photograph = photographs.others[int(rng.integers(len(photographs.others)))]
        crop = _crop_anywhere(rng, photograph, width / height)
    tile = _relight(_cut(photograph, crop, width, height), rng)
    scale = width / (crop.x2 - crop.x1)
    boxes = tuple(TrueBox(true.label, _fit(true.box, crop, scale)) for true in truth)
    if rng.random() < 0.5:
        tile = tile[:, ::-1]
        boxes = tuple(TrueBox(true.label, _flip(true.box, width)) for true in boxes)
    return Scene(tile, boxes)


def _crop_around(rng: np.random.Generator, face: Box, photograph: Pixels, aspect: float) -> Box:
    """A crop of one aspect (width / height) with the whole face in it."""
    high, wide = photograph.shape[:2]
    largest = min(high, wide / aspect)
    smallest = TIGHTEST_CROP * max(face.y2 - face.y1, (face.x2 - face.x1) / aspect)
    tall = float(rng.uniform(min(smallest, largest), largest))
    across = tall * aspect
    left = rng.uniform(max(0.0, face.x2 - across), min(face.x1, wide - across))
    top = rng.uniform(max(0.0, face.y2 - tall), min(face.y1, high - tall))
    return Box(float(left), float(top), float(left) + across, float(top) + tall)


def _crop_anywhere(rng: np.random.Generator, photograph: Pixels, aspect: float) -> Box:
    high, wide = photograph.shape[:2]
    tall = float(rng.uniform(0.6, 1.0)) * min(high, wide / aspect)
    left, top = float(rng.uniform(0, wide - tall * aspect)), float(rng.uniform(0, high - tall))
    return Box(left, top, left + tall * aspect, top + tall)


def _cut(photograph: Pixels, crop: Box, width: int, height: int) -> Pixels:
    """The crop, scaled to width x height: first to the size, then to the place, so that shrinking does not alias."""
    scale = width / (crop.x2 - crop.x1)
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    scaled = cv2.resize(photograph, None, fx=scale, fy=scale, interpolation=way)
    left, top = round(crop.x1 * scale), round(crop.y1 * scale)
    left, top = min(left, scaled.shape[1] - width), min(top, scaled.shape[0] - height)
    left, top = max(left, 0), max(top, 0)
    part = scaled[top : top + height, left : left + width]
    down, across = height - part.shape[0], width - part.shape[1]
    return cv2.copyMakeBorder(part, 0, down, 0, across, cv2.BORDER_REPLICATE).astype(np.uint8, copy=False)


def _relight(tile: Pixels, rng: np.random.Generator) -> Pixels:
    """Another brightness, contrast and warmth; one tile in eight is black and white."""
    if rng.random() < 0.125:
        tile = cv2.cvtColor(cv2.cvtColor(tile, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR).astype(np.uint8)
    gain, warmth = float(rng.uniform(0.65, 1.2)), float(rng.uniform(-0.06, 0.06))
    channels = gain * np.array([1 - warmth, 1, 1 + warmth], np.float32)
    return np.clip(tile * channels + float(rng.uniform(-10, 15)), 0, 255).astype(np.uint8)


def _move(box: Box, right: float, down: float) -> Box:
    return Box(box.x1 + right, box.y1 + down, box.x2 + right, box.y2 + down)


def _fit(box: Box, crop: Box, scale: float) -> Box:
    """A box of the photograph in its tile's pixels, less what the crop leaves out."""
    seen = box.overlap(crop)
    moved = _move(seen, -crop.x1, -crop.y1)
    return Box(moved.x1 * scale, moved.y1 * scale, moved.x2 * scale, moved.y2 * scale)


def _flip(box: Box, width: float) -> Box:
    return Box(width - box.x2, box.y1, width - box.x1, box.y2)
