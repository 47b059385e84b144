"""Makes small HEIC files with x265: turned, deep, with alpha, of tiles, of several pictures, with lying headers."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pillow_heif
from PIL import Image

from tests.unit import pictures
from tests.unit.pictures import Pixels


def heic(pixels: Pixels | None = None, mode: str = "RGB", **options: Any) -> bytes:
    """The scene, or pixels (h, w, channels) or (h, w) of a mode of pillow-heif's: RGB;16 is coded with 10 bits."""
    pixels = pictures.scene() if pixels is None else pixels
    file = io.BytesIO()
    options = {"quality": 95, "chroma": 444, **options}
    pillow_heif.encode(mode, pixels.shape[1::-1], pixels.tobytes(), file, **options)
    return file.getvalue()


def rotated(orientation: int) -> bytes:
    """The scene, stored turned, with irot and imir that make it upright, and EXIF that says so, too."""
    picture = Image.fromarray(pictures.scene())
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    turned = pillow_heif.from_pillow(pictures.stored(picture, orientation))
    turned.save(file, quality=95, chroma=444, exif=exif.tobytes())
    return file.getvalue()


def several(colours: list[tuple[int, int, int]], primary: int) -> bytes:
    """One picture of 64 x 48 a colour (RGB), of which one is the primary."""
    file, out = pillow_heif.HeifFile(), io.BytesIO()
    for colour in colours:
        file.add_frombytes("RGB", (64, 48), bytes(colour) * (64 * 48))
    file.save(out, quality=95, chroma=444, primary_index=primary)
    return out.getvalue()


def with_size(data: bytes, width: int, height: int) -> bytes:
    """Every picture in it claims this size."""
    at = data.find(b"ispe")
    while at >= 0:
        data = data[: at + 8] + width.to_bytes(4) + height.to_bytes(4) + data[at + 16 :]
        at = data.find(b"ispe", at + 4)
    return data


def with_crop(data: bytes, width: int, height: int) -> bytes:
    """Only the middle of the picture is shown; it must be one that is cropped already."""
    at = data.index(b"clap") + 4
    return data[:at] + struct.pack(">8I", width, 1, height, 1, 0, 1, 0, 1) + data[at + 32 :]


def noise(width: int = 64, height: int = 48) -> Pixels:
    return np.random.default_rng(1).integers(0, 255, (height, width, 3), np.uint8)
