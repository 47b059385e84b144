"""A TIFF of any layout is decoded to what was written into it, or refused by name; and the same each time.

tifffile writes the layouts. What is expected comes from the arrays that were written, by the rules that stand here.
"""

from __future__ import annotations

import io
import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
import tifffile

from common.errors import ItemCode, ItemError
from common.images.decode import decode
from common.images.scale import Scale
from tests.unit import pictures

LIMIT = 1_000_000
SHAPE = (21, 37)
GREYS, COLOURS = ("minisblack", "miniswhite"), ("rgb", "separated")
LOSSLESS = (None, "lzw", "zlib", "packbits", "zstd", "lzma", "lerc")
LOSSY = ("jpeg", "webp", "jpeg2000")
#: Written by tifffile, and never decoded.
OTHER = ("png", "jpegxr", "jpegxl")
TYPES = ("?", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "f2", "f4", "f8", "c8")


class Case(NamedTuple):
    photometric: str
    planar: str
    kind: str
    compression: str | None
    predictor: bool
    tiled: bool
    order: str

    @property
    def exact(self) -> bool:
        return self.compression in LOSSLESS

    @property
    def wanted(self) -> bool:
        """Whether it must be decoded, and not refused."""
        good = self.kind in ("?", "u1", "u2") and self.exact and not (self.kind == "?" and self.photometric in COLOURS)
        return good and not (self.predictor and self.compression in (None, "packbits", "lerc"))


def cases(photometric: str) -> Iterator[Case]:
    planars = ("contig", "separate") if photometric in COLOURS else ("contig",)
    kinds = ("u1", "u2") if photometric == "palette" else TYPES
    for planar, kind, compression, predictor, tiled, order in itertools.product(
        planars, kinds, LOSSLESS + LOSSY + OTHER, (False, True), (False, True), "<>"
    ):
        if predictor and (compression not in LOSSLESS or kind in ("?", "c8")):
            continue
        yield Case(photometric, planar, kind, compression, predictor, tiled, order)


def values(case: Case) -> pictures.Pixels:
    """Bands first where they are planes of their own. Smooth, so that a lossy method has no excuse."""
    bands = {"rgb": 3, "separated": 4}.get(case.photometric, 1)
    rows, columns = np.indices(SHAPE)
    planes = [rows * (5 - band) + columns * (2 + band) + 20 * band for band in range(bands)]
    if case.exact:
        planes = [np.random.default_rng(band).integers(0, 256, SHAPE) for band in range(bands)]
    grey = np.stack(planes).astype(np.int64)
    match case.kind:
        case "?":
            found = grey > 127
        case "u1":
            found = grey.astype(np.uint8)
        case "u2":
            found = (grey * 251 + 7).astype(np.uint16)
        case "i1" | "i2" | "i4":
            found = (grey * 211 - 20_000).astype(case.kind)
        case _:
            found = (grey * 1.75).astype(case.kind)
    if bands == 1:
        return found[0]
    return found if case.planar == "separate" else np.ascontiguousarray(np.moveaxis(found, 0, -1))


def written(case: Case, array: pictures.Pixels) -> bytes:
    file = io.BytesIO()
    options: dict[str, Any] = {"tile": (16, 32)} if case.tiled else {"rowsperstrip": 8}
    if case.photometric == "palette":
        options["colormap"] = colormap(case)
    planar = {"planarconfig": case.planar} if case.photometric in COLOURS else {}
    tifffile.imwrite(
        file,
        array,
        byteorder=case.order,
        photometric=case.photometric,
        compression=case.compression,
        predictor=case.predictor,
        metadata=None,
        **planar,
        **options,
    )
    return file.getvalue()


def colormap(case: Case) -> pictures.Pixels:
    return np.random.default_rng(9).integers(0, 65536, (3, 256 if case.kind == "u1" else 65536), np.uint16)


def expected(case: Case, array: pictures.Pixels, scale: Scale | None) -> pictures.Pixels:
    """(h, w, 3) uint8 RGB, by the rules of docs/datasets.md; without a scale of unsigned samples of up to 16 bits."""
    if case.photometric == "palette":
        return (colormap(case).T[array] >> 8).astype(np.uint8)
    if scale is not None:
        share = (array.astype(np.float64) - scale.low) / (scale.high - scale.low)
        small = (255 * np.clip(share, 0, 1)).astype(np.uint8)
    else:
        small = array.astype(np.uint8) * 255 if case.kind == "?" else array
        small = (array // 256).astype(np.uint8) if case.kind == "u2" else small
    if case.planar == "separate":
        small = np.moveaxis(small, 0, -1)
    if case.photometric == "separated":
        light = 255 - small.astype(int)
        return (light[..., :3] * light[..., 3:] // 255).astype(np.uint8)
    if case.photometric == "miniswhite":
        small = 255 - small
    return small if small.ndim == 3 else np.dstack([small] * 3)


def outcome(case: Case, scale: Scale | None = None) -> str:
    """`same`, `unsupported`, `unwritten`; or what is wrong."""
    array = values(case)
    try:
        data = written(case, array)
    except Exception:  # there are no writers for many of them
        return "unwritten"
    try:
        image, header = decode(data, LIMIT, scale)
    except ItemError as error:
        if error.code is not ItemCode.UNSUPPORTED or case.wanted:
            return f"{error.code} {error}"
        return "unsupported" if "bit" in str(error) else f"unnamed: {error}"
    if scale is None and case.kind not in ("?", "u1", "u2"):
        return "decoded without a range"
    again, _ = decode(data, LIMIT, scale)
    if not np.array_equal(image, again):
        return "another picture the second time"
    if header.deep != (case.kind not in ("?", "u1") and case.photometric != "palette"):
        return f"deep is {header.deep}"
    away = np.abs(image.astype(int) - expected(case, array, scale)[..., ::-1])
    return "same" if away.max() == 0 or (not case.exact and away.mean() < 3) else f"off by {away.mean():.1f}"


def wrong(outcomes: dict[Case, str]) -> dict[Case, str]:
    return {case: found for case, found in outcomes.items() if found not in ("same", "unsupported", "unwritten")}


@pytest.mark.parametrize("photometric", [*GREYS, *COLOURS, "palette"])
def test_every_layout_is_what_was_written_or_refused_by_name(photometric):
    outcomes = {case: outcome(case) for case in cases(photometric)}

    assert wrong(outcomes) == {}
    counts = Counter(outcomes.values())
    assert counts["same"] >= 80 and counts["same"] + counts["unsupported"] >= 120, counts


@pytest.mark.parametrize("photometric", [*GREYS, "rgb"])
def test_a_scale_maps_every_number_type(photometric):
    scale = Scale(-50, 300.5)
    deep = [case for case in cases(photometric) if case.kind not in ("?", "u1", "c8") and case.order == "<"]
    outcomes = {case: outcome(case, scale) for case in deep if case.exact}

    assert wrong(outcomes) == {}
    assert Counter(outcomes.values())["same"] >= 120
