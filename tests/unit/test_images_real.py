"""The hard images and the rotated ones beside the checkout: an image or an ItemError for each, as its table says."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from common.datasets import fetch
from common.errors import ItemCode, ItemError
from common.images.decode import decode
from common.images.scale import Scale
from common.limits import DEFAULT_MAX_PIXELS

SHARED = Path(os.environ.get("MANYEYES_SHARED", Path(__file__).resolve().parents[2] / ".." / "shared")).resolve()
HARD = SHARED / "data" / "hard-images"
ROTATED = SHARED / "data" / "exif-orientation"

pytestmark = [
    pytest.mark.real,
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.skipif(not SHARED.is_dir(), reason="no shared data beside the checkout"),
]

#: What plain OpenCV decodes and we do not: no end mark, or a header whose size could not be checked.
STRICTER = {
    "jpeg-decoder/8a9cc8eeed66aeb423a91c44111d9450.jpg",
    "jpeg-decoder/a7326ba8f3f4559991126474dd30083d.jpg",
    "pillow/badheadersize.bmp",
    "pillow/png_decompression_dos.png",
    "pillow/unknown_compression_method.png",
}
#: What OpenCV's libtiff refuses, and is decoded all the same: CMYK with alpha, and 12 bits.
MORE = {"image-rs/TODO hpredict_cmyk.tiff", "pillow/12bit.cropped.tif"}

#: What plain OpenCV does not decode and we do: all pixels are there, and half of the end mark is not.
WHOLE = {"pillow/truncated_jpeg.jpg", "pillow/truncated_end_chunk.png"}


def outcome(root: Path, path: str) -> ItemCode | tuple[int, ...]:
    try:
        image, header = decode(fetch(os.fsencode(root), os.fsencode(path)), DEFAULT_MAX_PIXELS)
    except ItemError as error:
        return error.code
    assert image.dtype == np.uint8 and image.shape == (header.height, header.width, 3)
    return image.shape


def test_every_hard_image_is_an_image_or_an_item_error():
    with (HARD / "MANIFEST.tsv").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    outcomes = {row["path"]: outcome(HARD, row["path"]) for row in rows}

    decoded = {path for path, found in outcomes.items() if isinstance(found, tuple)}
    by_opencv = {row["path"] for row in rows if "x3 uint8" in row["cv2.imdecode(IMREAD_COLOR)"]}
    assert by_opencv - decoded == STRICTER
    assert decoded - by_opencv == MORE | WHOLE
    assert outcomes["jpeg-decoder/empty.jpg"] is ItemCode.EMPTY
    assert outcomes["fuzzdb/lottapixel.jpg"] is ItemCode.TOO_LARGE
    assert outcomes["pillow/truncated_image.png"] is ItemCode.TRUNCATED
    assert outcomes["pillow/hopper.ico"] is ItemCode.UNSUPPORTED
    assert outcomes["pngsuite/xdtn0g01.png"] is ItemCode.CORRUPT


@pytest.mark.parametrize("picture", ["Landscape", "Portrait"])
def test_eight_orientations_of_a_photograph(picture):
    images = []
    for orientation in range(9):
        data = fetch(os.fsencode(ROTATED), f"{picture}_{orientation}.jpg".encode())
        image, header = decode(data, DEFAULT_MAX_PIXELS)
        assert header.exif_orientation in (orientation, None)
        images.append(image.astype(int))
    for image in images[1:]:
        assert image.shape == images[0].shape
        assert np.abs(image - images[1]).mean() < 6


def test_satellite_bands_are_refused_with_their_number():
    path = next((SHARED / "data" / "eurosat-ms").rglob("*.tif"))
    with pytest.raises(ItemError, match="13 bands of 16 bits") as caught:
        decode(path.read_bytes(), DEFAULT_MAX_PIXELS)
    assert caught.value.code is ItemCode.UNSUPPORTED


def test_every_tiff_from_the_field_is_the_same_picture_or_refused_by_its_name():
    """One photograph in the layouts that people have reported, and one file whose compression tag lies."""
    folder = SHARED / "field-cases" / "tiff"
    wanted, _ = decode((folder / "contig_rgb8_tile.tif").read_bytes(), DEFAULT_MAX_PIXELS)
    assert wanted.std() > 30
    for path in sorted(folder.glob("*.tif")):
        data = path.read_bytes()
        if path.name == "comp_lerc_tag.tif":
            with pytest.raises(ItemError, match="LERC") as caught:
                decode(data, DEFAULT_MAX_PIXELS)
            assert caught.value.code is ItemCode.UNSUPPORTED
            continue
        pictures = [decode(data, DEFAULT_MAX_PIXELS)[0] for _ in range(3)]
        assert all(np.array_equal(picture, wanted) for picture in pictures), path.name


@pytest.mark.parametrize("scale", [Scale(0, 4095), Scale(2, 98, percent=True)])
def test_thermal_images_of_12_bits_in_16_are_nearly_black_without_a_scale(scale):
    for path in sorted((SHARED / "field-cases" / "deep-16bit").glob("*.png")):
        data = path.read_bytes()
        dark, header = decode(data, DEFAULT_MAX_PIXELS)
        bright, _ = decode(data, DEFAULT_MAX_PIXELS, scale)
        assert header.deep and dark.max() < 16 and bright.mean() > 60


def test_other_satellites_are_refused_with_their_bands():
    for path in sorted((SHARED / "data" / "sentinel2").glob("*.tif")):
        with pytest.raises(ItemError, match=r"1[23] bands of 16 bits") as caught:
            decode(path.read_bytes(), DEFAULT_MAX_PIXELS)
        assert caught.value.code is ItemCode.UNSUPPORTED
