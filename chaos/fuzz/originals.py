"""Whole image files to damage: made in memory, in every format that is taken, and real ones from a folder."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image

from chaos.fuzz.mutate import mutate
from common.images.headers import read_header, sniff

#: Bytes and pixels. What is larger only makes the same faults slower: the detector takes its time.
LARGEST_FILE = 160_000
LARGEST_PICTURE = 400_000
#: Bytes. Up to here a file is taken whatever size it claims.
LYING_FILE = 32_000


@dataclass(frozen=True, slots=True)
class Original:
    name: str
    data: bytes

    @property
    def kind(self) -> str:
        return sniff(self.data) or "other"


@dataclass(frozen=True, slots=True)
class Mutant:
    #: Seed, number, original and what was done to it: enough to make it again.
    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Breeder:
    """Numbered mutants of originals: the same seed and number, the same mutant."""

    seed: int
    #: By format, so that rare formats are damaged as often as common ones.
    originals: dict[str, tuple[Original, ...]]

    @classmethod
    def of(cls, originals: tuple[Original, ...], seed: int) -> Breeder:
        kinds = sorted({original.kind for original in originals})
        return cls(seed, {kind: tuple(o for o in originals if o.kind == kind) for kind in kinds})

    def mutant(self, number: int) -> Mutant:
        random = Random(f"{self.seed}:{number}")
        kinds = list(self.originals)
        kind = random.choice(kinds)
        original = random.choice(self.originals[kind])
        # Half of the splices stay within a format: they get further into its reader.
        other = random.choice(self.originals[random.choice((kind, random.choice(kinds)))])
        data, how = mutate(random, original.data, other.data)
        return Mutant(f"seed {self.seed}, mutant {number}, of {original.name}: {', '.join(how)}", data)


def made() -> tuple[Original, ...]:
    """Some hundred pictures of 48 x 40, at most some kB each, in every format that is taken and two that are not."""
    ways = (*_by_pillow(), *_by_opencv(), *_tiffs(), *_pnms(), *_bit_fields(), *_by_x265())
    return tuple(Original(f"made {name}", data) for name, data in ways)


def real(folder: Path) -> tuple[Original, ...]:
    """The image files below `folder` that are small enough, in the order of their paths."""
    return tuple(
        Original(path.relative_to(folder).as_posix(), data)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.stat().st_size <= LARGEST_FILE
        for data in [path.read_bytes()]
        if sniff(data) is not None and _is_quick(data)
    )


def _is_quick(data: bytes) -> bool:
    """Small files stay whatever their headers claim: those that lie are wanted."""
    header = read_header(data)
    return header is None or len(data) <= LYING_FILE or header.width * header.height <= LARGEST_PICTURE


def _by_pillow() -> Iterator[tuple[str, bytes]]:
    picture = Image.fromarray(_pixels())
    exif = Image.Exif()
    exif[0x0112] = 6
    frames = {"save_all": True, "append_images": [picture.rotate(90), picture.rotate(180)]}
    ways: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("JPEG", "RGB", {"exif": exif}),
        ("JPEG", "RGB", {"progressive": True}),
        ("JPEG", "RGB", {"subsampling": 2, "restart_marker_rows": 1}),
        ("JPEG", "RGB", {"subsampling": 1, "quality": 95}),
        ("JPEG", "L", {}),
        ("JPEG", "CMYK", {}),
        ("PNG", "RGB", {"exif": exif}),
        ("PNG", "RGBA", {}),
        ("PNG", "LA", {}),
        ("PNG", "P", {}),
        ("PNG", "1", {}),
        ("PNG", "RGB", frames),
        ("PNG", "RGBA", {**frames, "default_image": True}),
        ("GIF", "P", {}),
        ("GIF", "P", frames),
        ("WEBP", "RGB", {"exif": exif}),
        ("WEBP", "RGBA", {"lossless": True}),
        ("WEBP", "RGB", frames),
        ("BMP", "RGB", {}),
        ("BMP", "P", {}),
        ("BMP", "1", {}),
        ("AVIF", "RGB", {"speed": 10, "exif": exif}),
        ("AVIF", "RGBA", {"speed": 10}),
        ("JPEG2000", "RGB", {}),
        ("JPEG2000", "L", {"no_jp2": True}),
        ("JPEG2000", "RGBA", {"irreversible": True, "tile_size": (16, 16)}),
        ("PPM", "RGB", {}),
        ("PPM", "L", {}),
        ("PPM", "1", {}),
        ("TIFF", "RGB", {"exif": exif}),
        ("TIFF", "RGB", {"big_tiff": True}),
        ("TIFF", "CMYK", {}),
        ("TIFF", "P", {"compression": "packbits"}),
        ("TIFF", "1", {"compression": "group4"}),
        *(
            ("TIFF", "RGB", {"compression": name})
            for name in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "zstd", "lzma")
        ),
    )
    for kind, mode, options in ways:
        file = io.BytesIO()
        picture.convert(mode).save(file, kind, **options)
        named = (str(value) if isinstance(value, str) else name for name, value in options.items())
        yield " ".join((kind, mode, *named)), file.getvalue()


def _by_opencv() -> Iterator[tuple[str, bytes]]:
    pixels = _pixels()
    deep = pixels.astype(np.uint16) * 257
    for ending, image in (
        (".png", deep),
        (".tiff", deep),
        (".tiff", deep[..., 0]),
        (".tiff", pixels.astype(np.float32)),
        (".jp2", deep),
        (".ppm", deep),
        (".pgm", deep[..., 0]),
        (".hdr", pixels.astype(np.float32) / 255),
        (".ras", pixels),
    ):
        yield f"{ending} {image.dtype} {image.ndim}", cv2.imencode(ending, image)[1].tobytes()


def _tiffs() -> Iterator[tuple[str, bytes]]:
    """Layouts that Pillow and OpenCV do not write."""
    rgb, grey = _pixels(), np.ascontiguousarray(_pixels()[..., 0])
    planes, deep = np.ascontiguousarray(np.moveaxis(rgb, -1, 0)), rgb.astype(np.uint16) * 257
    inks = np.dstack([rgb, grey])
    ways: tuple[tuple[npt.NDArray[Any], dict[str, Any]], ...] = (
        *((rgb, {"compression": name}) for name in ("lzw", "zlib", "packbits", "zstd", "lzma", "lerc")),
        *((rgb, {"compression": name, "tile": (16, 32)}) for name in ("jpeg", "webp", "jpeg2000", "lerc", "zlib")),
        *((deep, {"compression": name, "predictor": True}) for name in ("lzw", "zlib")),
        (deep, {"byteorder": ">", "tile": (16, 16)}),
        (rgb, {"compression": "lerc", "compressionargs": {"compression": "deflate"}}),
        *((planes, {"planarconfig": "separate", "compression": name}) for name in (None, "lzw", "jpeg")),
        (planes, {"planarconfig": "separate", "photometric": "minisblack"}),
        (inks, {"photometric": "separated", "compression": "jpeg"}),
        (inks, {"extrasamples": ["unassalpha"], "bigtiff": True}),
        (grey, {"photometric": "miniswhite", "rowsperstrip": 3}),
        (grey >> 4, {"photometric": "minisblack", "bitspersample": 4}),
        (deep[..., 0] >> 4, {"photometric": "minisblack", "bitspersample": 12}),
        (grey, {"photometric": "palette", "colormap": np.arange(768, dtype=np.uint16).reshape(3, 256) * 85}),
        (grey > 60, {"photometric": "minisblack", "compression": "zlib"}),
        (np.dstack([grey] * 13), {"photometric": "minisblack", "planarconfig": "contig"}),
    )
    for pixels, options in ways:
        file = io.BytesIO()
        tifffile.imwrite(file, pixels, metadata=None, **{"photometric": "rgb", **options})
        named = (str(value) if isinstance(value, str) else name for name, value in options.items())
        yield " ".join(("TIFF", str(pixels.dtype), *named)), file.getvalue()


def _pnms() -> Iterator[tuple[str, bytes]]:
    rgb, grey = _pixels(), _pixels()[..., 0]
    text = b" ".join(b"%d" % value for value in grey.ravel())
    pam = b"P7\nWIDTH 48\nHEIGHT 40\nDEPTH %d\nMAXVAL 255\nTUPLTYPE %s\nENDHDR\n"
    yield "P1", b"P1\n48 40\n" + b" ".join(b"%d" % (value & 1) for value in grey.ravel())
    yield "P2", b"P2 # plain\n48 40\n255\n" + text
    yield "P3", b"P3\n48 13\n255\n" + text
    yield "P5 of 12 bits", b"P5\n48 40\n4095\n" + (grey.astype(np.uint16) * 16).astype(">u2").tobytes()
    yield "P7 RGB", pam % (3, b"RGB") + rgb.tobytes()
    yield "P7 RGB_ALPHA", pam % (4, b"RGB_ALPHA") + np.dstack([rgb, grey]).tobytes()
    yield "PF", b"PF\n48 40\n-1.0\n" + rgb.astype("<f4").tobytes()


def _bit_fields() -> Iterator[tuple[str, bytes]]:
    rows = _pixels().astype("<u2")[..., 0]
    for name, masks in (("565", (0xF800, 0x7E0, 0x1F)), ("444", (0xF00, 0xF0, 0xF))):
        head = struct.pack("<IiiHHIIiiII3I", 40, 48, 40, 1, 16, 3, 0, 0, 0, 0, 0, *masks)
        yield (
            f"BMP {name}",
            b"BM" + struct.pack("<IHHI", 14 + len(head) + rows.nbytes, 0, 0, 66) + head + rows.tobytes(),
        )


def _by_x265() -> Iterator[tuple[str, bytes]]:
    import pillow_heif

    exif = Image.Exif()
    exif[0x0112] = 7
    ways: tuple[tuple[str, dict[str, Any]], ...] = (
        ("RGB", {}),
        ("RGB", {"tile_size": 16}),
        ("RGB", {"chroma": 444, "exif": exif.tobytes()}),
        ("RGBA", {"quality": -1}),
        ("L", {}),
        ("RGB;16", {}),
    )
    for mode, options in ways:
        picture = Image.fromarray(_pixels()).convert(mode.removesuffix(";16"))
        pixels = np.asarray(picture).astype(np.uint16) * 257 if mode.endswith("16") else np.asarray(picture)
        coded, file = pillow_heif.from_bytes(mode, picture.size, pixels.tobytes()), io.BytesIO()
        if "exif" in options:
            coded.add_frombytes(mode, picture.size, pixels.tobytes())
        coded.save(file, **options)
        yield " ".join(("HEIC", mode, *options)), file.getvalue()


def _pixels() -> npt.NDArray[np.uint8]:
    """(40, 48, 3): noise, a slope and a box, so that every coder has something to do."""
    noise = np.random.default_rng(1).integers(0, 99, (40, 48, 3))
    noise += np.arange(48)[None, :, None] * 2
    noise[8:24, 12:30] += (10, 0, 20)
    return noise.astype(np.uint8)
