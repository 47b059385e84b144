"""Tiny pictures as files' bytes: every format, rotation, depth and kind of damage that the tests need."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[Any]

#: How a picture must be stored so that EXIF's orientation makes it upright again.
_STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def scene(width: int = 64, height: int = 48) -> Pixels:
    """(height, width, 3) uint8 RGB, with no symmetry: red top left, green bottom left, blue in the top right corner."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2] = (200, 30, 30)
    pixels[height // 2 :, : width // 2] = (30, 200, 30)
    pixels[: height // 4, -width // 4 :] = (30, 30, 220)
    return pixels


def encoded(kind: str, pixels: Pixels | None = None, mode: str | None = None, **options: Any) -> bytes:
    """What Pillow saves as `kind` (JPEG, PNG, ...), after converting to `mode` (L, P, CMYK, RGBA, 1, ...)."""
    picture = Image.fromarray(scene() if pixels is None else pixels)
    return _saved(picture.convert(mode) if mode else picture, kind, **options)


def jpeg(**options: Any) -> bytes:
    return encoded("JPEG", **{"quality": 95, **options})


def png(**options: Any) -> bytes:
    return encoded("PNG", **options)


def rotated(kind: str, orientation: int, **options: Any) -> bytes:
    """The scene, stored turned, with the EXIF orientation that makes it upright."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return _saved(stored(Image.fromarray(scene()), orientation), kind, exif=exif, **options)


def stored(picture: Image.Image, orientation: int) -> Image.Image:
    """The picture turned so that this EXIF orientation makes it upright again."""
    method = _STORED[orientation]
    return picture if method is None else picture.transpose(method)


def with_late_exif(orientation: int) -> bytes:
    """A PNG of the scene as it is, that says its orientation after its pixels."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = png()
    return data[:-12] + _chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")) + data[-12:]


def with_thumbnail() -> bytes:
    """A JPEG whose EXIF segment holds a whole smaller JPEG, end mark included."""
    small = jpeg(pixels=scene(16, 12))
    body = b"Exif\0\0" + b"MM\0*\0\0\0\x08\0\0\0\0\0\0" + small
    data = jpeg()
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]


def animation(kind: str, colours: tuple[tuple[int, int, int], ...] = ((200, 30, 30), (30, 200, 30))) -> bytes:
    """One frame a colour (RGB), 64 x 48."""
    frames = [Image.new("RGB", (64, 48), colour) for colour in colours]
    return _saved(frames[0], kind, save_all=True, append_images=frames[1:], duration=100)


def deep_scene() -> Pixels:
    """(256, 256) uint16 with every value once."""
    return np.arange(1 << 16, dtype=np.uint16).reshape(256, 256)


def deep_png(pixels: Pixels) -> bytes:
    """16 bits a channel; pixels (h, w) grey or (h, w, 3) RGB."""
    height, width = pixels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 16, 2 if pixels.ndim == 3 else 0, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    return _png(_chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(rows)), _chunk(b"IEND", b""))


def tiff(pixels: Pixels, orientation: int = 1) -> bytes:
    """Uncompressed, in one strip; pixels (h, w) or (h, w, any number of bands) of any number type."""
    height, width = pixels.shape[:2]
    bands = pixels.shape[2] if pixels.ndim == 3 else 1
    bits, sample_format = pixels.dtype.itemsize * 8, {"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]
    tags = {
        256: (4, [width]),
        257: (4, [height]),
        258: (3, [bits] * bands),
        259: (3, [1]),
        262: (3, [2 if bands >= 3 else 1]),
        273: (4, [0]),
        274: (3, [orientation]),
        277: (3, [bands]),
        278: (4, [height]),
        279: (4, [pixels.nbytes]),
        339: (3, [sample_format] * bands),
    }
    if bands > 3:
        tags[338] = (3, [0] * (bands - 3))
    at = 8 + 2 + 12 * len(tags) + 4
    values = {tag: struct.pack(f"<{len(v)}{'H' if kind == 3 else 'I'}", *v) for tag, (kind, v) in tags.items()}
    values[273] = struct.pack("<I", at + sum(len(value) for value in values.values() if len(value) > 4))
    entries, outside = b"", b""
    for tag, (kind, numbers) in sorted(tags.items()):
        value = values[tag]
        if len(value) > 4:
            value, outside = struct.pack("<I", at + len(outside)), outside + value
        entries += struct.pack("<HHI", tag, kind, len(numbers)) + value.ljust(4, b"\0")
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", 0)
    return head + outside + pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()


def huge(kind: str, width: int = 50_000, height: int = 50_000) -> bytes:
    """A file of a few hundred bytes that declares a huge picture: PNG, JPEG, BMP or GIF."""
    match kind:
        case "PNG":
            header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
            return _png(_chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(bytes(64))), _chunk(b"IEND", b""))
        case "JPEG":
            data = jpeg()
            at = data.index(b"\xff\xc0") + 5
            return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]
        case "BMP":
            data = encoded("BMP")
            return data[:18] + struct.pack("<ii", width, height) + data[26:]
        case "GIF":
            data = encoded("GIF")
            return data[:6] + struct.pack("<HH", width, height) + data[10:]
    raise ValueError(f"no huge {kind}")


def cut(data: bytes, share: float = 0.6) -> bytes:
    """The first part of a file, as a broken copy leaves it."""
    return data[: int(len(data) * share)]


def bgr(image: Pixels) -> Pixels:
    """RGB to OpenCV's order and back."""
    return image[..., ::-1]


def difference(image: Pixels, rgb: Pixels) -> float:
    """Mean absolute difference of a decoded BGR image and the RGB that it should be; infinite if the sizes differ."""
    if image.shape != rgb.shape:
        return float("inf")
    return float(np.abs(image.astype(int) - bgr(rgb)).mean())


def _saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _png(*chunks: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
