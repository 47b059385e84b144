"""Reads what the first page of a TIFF says of itself, and decides whether it can be decoded right."""

from __future__ import annotations

import functools
import logging
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import tifffile

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR, CIELAB = 0, 1, 2, 3, 5, 6, 8
JPEG, LERC, WEBP, JPEG2000_RGB, JPEG2000 = 7, 34887, 50001, 33005, 34712
UNCOMPRESSED, LZW, CCITT = 1, 5, (2, 3, 4)

_PHOTOMETRICS = {
    WHITE_IS_ZERO: "WhiteIsZero",
    BLACK_IS_ZERO: "BlackIsZero",
    RGB: "RGB",
    PALETTE: "palette",
    4: "a transparency mask",
    CMYK: "CMYK",
    YCBCR: "YCbCr",
    CIELAB: "CIELab",
    9: "ICCLab",
    10: "ITULab",
    32803: "a camera's raw colour filter array",
    32844: "LogL",
    32845: "LogLuv",
    34892: "a camera's linear raw",
}
_COMPRESSIONS = {
    UNCOMPRESSED: "uncompressed",
    2: "CCITT RLE",
    3: "CCITT fax 3",
    4: "CCITT fax 4",
    LZW: "LZW",
    6: "old-style JPEG",
    JPEG: "JPEG",
    8: "deflate",
    32773: "PackBits",
    32946: "deflate",
    33003: "JPEG 2000 in YCbCr",
    JPEG2000_RGB: "JPEG 2000",
    JPEG2000: "JPEG 2000",
    LERC: "LERC",
    34925: "LZMA",
    50000: "ZSTD",
    WEBP: "WebP",
    50002: "JPEG XL",
    52546: "JPEG XL",
    34892: "lossy camera JPEG",
    34933: "PNG",
    34934: "JPEG XR",
    22610: "JPEG XR",
}
#: Those that hold bytes, whatever these mean.
PACKED = (UNCOMPRESSED, LZW, 8, 32773, 32946, 34925, 50000)
#: Before these a predictor may stand; others pass over its tag, or every reader does something else with it.
_PREDICTED = (LZW, 8, 32946, 34925, 50000)
_KINDS = {1: "", 2: ", signed", 3: ", floating point", 4: "", 5: ", complex integers", 6: ", complex"}

LERC_PARAMETERS, _DNG_VERSION, _INK_SET, _PHOTOMETRIC_TAG = 50674, 50706, 332, 262


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """One page. Sizes are pixels as stored, before its orientation."""

    #: A tifffile.TiffPage.
    page: Any
    width: int
    height: int
    photometric: int
    bands: int
    #: A sample's; 0 where bands differ.
    bits: int
    #: SampleFormat: 1 unsigned, 2 signed, 3 floating point, ...
    kind: int
    compression: int
    planar: bool
    #: What the bands beyond the colours are: 0 nothing said, 1 and 2 alpha.
    extra: tuple[int, ...]
    #: 1 to 8; None where the file says nothing, or nothing valid.
    orientation: int | None

    @property
    def ranged(self) -> bool:
        """Whether the type of its samples says what is black and what white."""
        return self.kind in (1, 4) and self.bits <= 16

    @property
    def deep(self) -> bool:
        """Whether 8 bits cannot hold its values. A palette's are numbers of colours."""
        return self.photometric != PALETTE and not (self.ranged and self.bits <= 8)

    @property
    def subsampled(self) -> bool:
        """Whether neighbouring pixels share their chroma, and no JPEG takes care of it."""
        return bool(self.photometric == YCBCR and self.compression != JPEG and self.page.is_subsampled)

    @property
    def colours(self) -> int:
        """Bands that are colour; the others are dropped."""
        if self.photometric == BLACK_IS_ZERO and self.bands in (3, 4):
            return 3  # as GDAL writes RGB where it isn't told that it is
        return {RGB: 3, YCBCR: 3, CIELAB: 3, CMYK: 4}.get(self.photometric, 1)

    def __str__(self) -> str:
        page, bands = self.page, f"{self.bands} band{'s' * (self.bands != 1)}"
        bits = f"{self.bits} bit{'s' * (self.bits != 1)}" if self.bits else "several depths"
        words = [
            f"{bands} of {bits}{_KINDS.get(self.kind, ', of an unknown type')}",
            _PHOTOMETRICS.get(self.photometric, f"photometric {self.photometric}"),
            _COMPRESSIONS.get(self.compression, f"compression {self.compression}"),
        ]
        if page.predictor != 1:
            words.append(f"predictor {int(page.predictor)}")
        if self.planar:
            words.append("one plane a band")
        return ", ".join(words)


def read_layout(data: bytes) -> Layout:
    """Raises whatever tifffile does, and MemoryError."""
    _quiet()
    # Of these kinds it would read the later pages as well.
    others: dict[str, Any] = {"is_lsm": False, "is_scanimage": False, "is_ndpi": False}
    return _layout(tifffile.TiffFile(BytesIO(data), _multifile=False, **others).pages[0])


def _layout(page: Any) -> Layout:
    bits, kind, bands = page.bitspersample, page.sampleformat, int(page.samplesperpixel)
    sides = (int(page.imagewidth), int(page.imagelength))
    if min(sides) < 1 or bands < 1 or (page.is_tiled and min(page.tilewidth, page.tilelength) < 1):
        raise ValueError("no pixels")
    if not page.is_tiled and page.rowsperstrip < 1:
        raise ValueError("strips of no rows")
    photometric = int(page.photometric)
    extra = page.extrasamples if isinstance(page.extrasamples, tuple) else (page.extrasamples,)
    if _PHOTOMETRIC_TAG not in page.tags:
        photometric = RGB if bands - len(extra) == 3 else BLACK_IS_ZERO  # as libtiff takes it
    turned = page.tags.valueof(274)
    return Layout(
        page=page,
        width=sides[0],
        height=sides[1],
        photometric=photometric,
        bands=bands,
        bits=int(bits) if not isinstance(bits, tuple) else 0,
        kind=int(kind) if not isinstance(kind, tuple) else 0,
        compression=int(page.compression),
        planar=int(page.planarconfig) == 2 and bands > 1,
        extra=tuple(map(int, extra)),
        orientation=int(turned) if isinstance(turned, int) and 1 <= turned <= 8 else None,
    )


def refusal(layout: Layout) -> str | None:
    """Why this layout is not decoded, whatever --scale says; None where it is."""
    for check in (_content, _colours, _samples, _packing):
        if words := check(layout):
            return words
    return None


def _content(layout: Layout) -> str | None:
    page, tags = layout.page, layout.page.tags
    if layout.photometric not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR, CIELAB) or (
        int(page.subfiletype) & 4
    ):
        return str(layout)
    if int(page.subfiletype) & 1 and (page.subifds or _DNG_VERSION in tags or len(page.parent.pages) > 1):
        return f"a small copy, as in a camera's raw file, before the whole picture ({layout})"
    if page.imagedepth != 1 or page.tiledepth != 1:
        return f"a volume of {page.imagedepth} slices ({layout})"
    if layout.photometric == CMYK and tags.valueof(_INK_SET, 1) != 1:
        return f"inks other than CMYK ({layout})"
    return None


def _colours(layout: Layout) -> str | None:
    more = layout.bands - layout.colours
    alone = layout.photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO, PALETTE) and layout.colours == 1
    # A second band may be anything, such as another polarisation, unless the file says that it is alpha.
    if more < 0 or layout.bands > 4 + (layout.photometric == CMYK) or more > 1:
        return str(layout)
    if alone and more == 1 and layout.extra not in ((1,), (2,)):
        return f"{layout}, the second of an unknown meaning"
    if layout.photometric in (YCBCR, CIELAB) and (more or layout.planar or layout.bits != 8 or not layout.ranged):
        return str(layout)
    if layout.photometric == PALETTE and not (layout.ranged and _colormap_fits(layout)):
        return str(layout)
    return None


def _colormap_fits(layout: Layout) -> bool:
    colormap = layout.page.tags.valueof(320)
    return getattr(colormap, "shape", None) == (3, 1 << layout.bits)


def _samples(layout: Layout) -> str | None:
    whole = (8, 16, 32, 64)
    good = {1: (*range(1, 17), 24, 32, 64), 4: (*range(1, 17), 24, 32, 64), 2: whole, 3: (16, 24, 32, 64)}
    if layout.bits not in good.get(layout.kind, ()):
        return str(layout)
    if layout.photometric == CMYK and not layout.ranged:
        return str(layout)
    if layout.bits == 1 and layout.bands > 1 and not layout.planar:
        return str(layout)  # some writers begin each band on a byte of its own
    return None


def _packing(layout: Layout) -> str | None:
    page, method, bits = layout.page, layout.compression, layout.bits
    predictor = int(page.predictor)
    fits = {
        **dict.fromkeys(PACKED, True),
        **dict.fromkeys(CCITT, bits == 1 and layout.bands == 1 and predictor == 1),
        JPEG: bits == 8 and layout.ranged and _jpeg_fits(layout),
        LERC: bits in (8, 16, 32, 64) and predictor == 1,
        WEBP: bits == 8 and layout.ranged and layout.photometric == RGB and not layout.planar,
        **dict.fromkeys((JPEG2000_RGB, JPEG2000), _jpeg2000_fits(layout)),
    }
    if not fits.get(method, False):
        return str(layout)
    if method in PACKED and predictor != 1 and not (method in _PREDICTED and _predictor_fits(layout, predictor)):
        return str(layout)
    if layout.subsampled and (predictor != 1 or int(page.fillorder) != 1):
        return str(layout)
    return None


def _jpeg_fits(layout: Layout) -> bool:
    """Whether everybody agrees on the colours inside."""
    if layout.photometric == PALETTE:
        return False
    if layout.planar or layout.bands == 1:
        return True
    if layout.photometric == RGB and layout.page.is_jfif:
        return False  # JFIF says YCbCr, and the TIFF says RGB
    return layout.bands == layout.colours and layout.photometric != BLACK_IS_ZERO


def _jpeg2000_fits(layout: Layout) -> bool:
    """Of high bytes first, some writers have changed the bytes inside as well."""
    swapped = layout.bits > 8 and layout.page.parent.byteorder == ">"
    plain = layout.photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB)
    return layout.bits in (8, 16) and layout.ranged and plain and not swapped


def _predictor_fits(layout: Layout, predictor: int) -> bool:
    if predictor == 2:
        return layout.bits in (8, 16, 32, 64)
    return predictor == 3 and layout.kind == 3 and layout.bits in (16, 32, 64)


@functools.cache
def _quiet() -> None:
    """tifffile logs every tag that it takes amiss; the image's row says what is wrong."""
    logging.getLogger("tifffile").setLevel(logging.CRITICAL + 1)
