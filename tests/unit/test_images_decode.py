"""Good files of every kind in, upright 8-bit BGR out."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from common.images.decode import _warn_deep, decode, read_header
from tests.unit import pictures

LIMIT = 10_000_000
LOSSLESS = [("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {}), ("BMP", {}), ("JPEG2000", {}), ("PPM", {})]
LOSSY = [("JPEG", {"quality": 95}), ("JPEG", {"quality": 95, "progressive": True}), ("AVIF", {}), ("GIF", {})]
ROTATING = [
    ("JPEG", {"quality": 95}),
    ("PNG", {}),
    ("WEBP", {"lossless": True}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("AVIF", {}),
]


@pytest.mark.parametrize(("kind", "options"), LOSSLESS + LOSSY)
def test_every_format_gives_the_scene(kind, options):
    image, header = decode(pictures.encoded(kind, **options), LIMIT)

    assert image.dtype == np.uint8
    assert pictures.difference(image, pictures.scene()) <= (0 if (kind, options) in LOSSLESS else 6)
    assert (header.width, header.height, header.exif_orientation) == (64, 48, None)
    assert image.flags.c_contiguous


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("kind", "options"), ROTATING)
def test_eight_orientations_give_the_same_upright_picture(kind, options, orientation):
    data = pictures.rotated(kind, orientation, **options)

    image, header = decode(data, LIMIT)

    assert pictures.difference(image, pictures.scene()) < 6
    assert (header.width, header.height) == (64, 48)
    # AVIF says orientation 1 by saying nothing.
    assert header.exif_orientation == (None if (kind, orientation) == ("AVIF", 1) else orientation)
    assert read_header(data) == header


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_a_deep_tiff(orientation):
    stored = pictures.scene().astype(np.uint16) * 256
    upright, _ = decode(pictures.tiff(stored, 1), LIMIT)
    image, header = decode(pictures.tiff(stored, orientation), LIMIT)

    turned = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, -1),
        7: np.rot90(upright, 2).transpose(1, 0, 2),
        8: np.rot90(upright),
    }[orientation]
    assert np.array_equal(image, turned)
    assert (header.height, header.width) == image.shape[:2]


def test_orientation_after_the_pixels_of_a_png():
    image, header = decode(pictures.with_late_exif(6), LIMIT)

    assert header.exif_orientation == 6
    assert pictures.difference(image, np.rot90(pictures.scene(), -1)) == 0


@pytest.mark.parametrize("orientation", [0, 9, 300])
def test_an_orientation_out_of_range_is_none(orientation):
    data = pictures.rotated("JPEG", 6).replace(b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06", b"@", 1)
    assert b"@" in data  # big-endian EXIF, as Pillow writes it
    value = orientation.to_bytes(2, "big")
    data = data.replace(b"@", b"\x01\x12\x00\x03\x00\x00\x00\x01" + value, 1)

    image, header = decode(data, LIMIT)

    assert header.exif_orientation is None
    assert image.shape == (64, 48, 3)


@pytest.mark.parametrize("make", [pictures.deep_png, pictures.tiff])
@pytest.mark.parametrize("grey", [True, False])
def test_16_bits_are_divided_by_256(make, grey):
    deep = pictures.deep_scene()
    if not grey:
        deep = np.dstack([deep, deep[::-1], deep.T])

    image, header = decode(make(deep), LIMIT)

    assert header.deep
    expected = deep >> 8 if not grey else np.dstack([deep >> 8] * 3)
    assert np.array_equal(image, pictures.bgr(expected))


def test_one_warning_a_process_for_16_bits(caplog):
    _warn_deep.cache_clear()
    data = pictures.deep_png(pictures.deep_scene())
    with caplog.at_level(logging.WARNING):
        decode(data, LIMIT)
        decode(data, LIMIT)
        decode(pictures.png(), LIMIT)

    assert [record.message for record in caplog.records if "0..255" in record.message] != []
    assert len(caplog.records) == 1


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "GIF", "BMP", "JPEG"])
def test_grey(kind):
    image, _ = decode(pictures.encoded(kind, mode="L"), LIMIT)

    assert image.shape == (48, 64, 3)
    assert np.abs(image[2, 2].astype(int) - 81).max() <= 2


@pytest.mark.parametrize(("kind", "mode"), [("PNG", "P"), ("GIF", "P"), ("TIFF", "P"), ("BMP", "P"), ("PNG", "1")])
def test_palette_and_one_bit(kind, mode):
    pixels = pictures.scene() // 128 * 255
    image, _ = decode(pictures.encoded(kind, pixels.astype(np.uint8), mode=mode), LIMIT)

    assert image.shape == (48, 64, 3)
    if mode == "P":
        assert pictures.difference(image, pixels) == 0


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk(kind):
    image, _ = decode(pictures.encoded(kind, mode="CMYK"), LIMIT)

    assert pictures.difference(image, pictures.scene()) < 12


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("WEBP", {"lossless": True, "exact": True}), ("BMP", {})])
def test_alpha_is_dropped(kind, options):
    alpha = np.zeros((48, 64, 1), np.uint8)
    data = pictures.encoded(kind, np.dstack([pictures.scene(), alpha]), **options)

    assert pictures.difference(decode(data, LIMIT)[0], pictures.scene()) == 0


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "AVIF"])
def test_an_animation_gives_its_first_frame(kind):
    image, _ = decode(pictures.animation(kind), LIMIT)

    assert np.abs(image.astype(int) - (30, 30, 200)).max() <= 4


def test_a_jpeg_with_rubbish_after_its_end_and_a_thumbnail_is_whole():
    image, _ = decode(pictures.with_thumbnail() + b"rubbish" * 100, LIMIT)

    assert pictures.difference(image, pictures.scene()) < 6


def test_the_name_of_a_file_plays_no_part_but_its_bytes_do():
    assert read_header(pictures.jpeg()).kind == "JPEG"
    assert read_header(b"just text") is None
