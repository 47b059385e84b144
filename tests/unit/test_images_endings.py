"""A file that lacks only its formal end gives the pixels of the whole one; a file that lacks pixels is truncated."""

from __future__ import annotations

import struct

import cv2
import numpy as np
import pytest

from common.errors import ItemCode, ItemError
from common.images import jpeg
from common.images.decode import decode
from tests.unit import pictures

LIMIT = 1_000_000
NOISE = np.random.default_rng(1).integers(0, 255, (37, 53, 3), np.uint8)
JPEGS = [
    pytest.param(mode, {"subsampling": sampling, "progressive": progressive, **restarts}, id=name)
    for mode in ("RGB", "L", "CMYK")
    for sampling in (0, 1, 2)
    for progressive in (False, True)
    for restarts in ({}, {"restart_marker_rows": 1})
    for name in [f"{mode}-{sampling}-{'progressive' if progressive else 'baseline'}-{len(restarts)}"]
    if mode == "RGB" or sampling == 0  # Pillow's CMYK with subsampling is a layout that turbojpeg has no name for
]
#: Formats, and how many bytes at the end of Pillow's files are no pixels.
FORMAL = [
    ("PNG", {}, 12),
    ("PNG", {"interlace": 1}, 12),
    ("GIF", {}, 2),
    ("BMP", {}, 1),
    ("JPEG2000", {}, 2),
    ("JPEG2000", {"no_jp2": True, "tile_size": (16, 16)}, 2),
]


def outcome(data: bytes) -> ItemCode | pictures.Pixels:
    try:
        return decode(data, LIMIT)[0]
    except ItemError as error:
        return error.code


def is_same(data: bytes, whole: pictures.Pixels) -> bool:
    found = outcome(data)
    return not isinstance(found, ItemCode) and np.array_equal(found, whole)


@pytest.mark.parametrize(("mode", "options"), JPEGS)
def test_a_jpeg_is_whole_without_its_end_mark_and_truncated_at_every_byte_before(mode, options):
    data = pictures.encoded("JPEG", NOISE, mode, quality=75, **options)
    whole, start = decode(data, LIMIT)[0], data.index(b"\xff\xda")
    assert is_same(data[:-1], whole) and is_same(data[:-2], whole)

    near, far = range(3, 120), range(120, len(data) - start, 29)
    kept = [lost for lost in (*near, *far) if jpeg.completed(data[:-lost]) is not None]

    assert kept == []
    assert outcome(data[:-3]) is ItemCode.TRUNCATED


@pytest.mark.parametrize(("mode", "options"), JPEGS[:6])
def test_zeros_at_the_end_of_a_jpeg_are_no_pixels(mode, options):
    data = pictures.encoded("JPEG", NOISE, mode, quality=75, **options)
    whole = decode(data, LIMIT)[0]

    # As failed copies leave a file: with its old length, or filled up to the end of a block.
    assert all(is_same(data[:-lost].ljust(length, b"\0"), whole) for lost in (1, 2) for length in (len(data), 8192))
    assert {
        outcome(data[:-lost].ljust(length, b"\0")) for lost in (3, 4, 9, 200, 1000) for length in (len(data), 8192)
    } == {ItemCode.TRUNCATED}


def test_a_progressive_jpeg_that_lacks_a_whole_scan_is_truncated():
    data = pictures.encoded("JPEG", NOISE, progressive=True)
    scans = [at for at in range(len(data) - 1) if data[at : at + 2] in (b"\xff\xc4", b"\xff\xda")]
    last = max(scans)  # tables or scan header: what is before it ends with a whole scan or with tables

    assert jpeg.completed(data[:-2]) is not None
    assert [jpeg.completed(data[:at]) for at in scans if at <= last] == [None] * len(scans)


def test_rubbish_in_place_of_the_end_mark_is_no_proof_of_all_pixels():
    assert outcome(pictures.jpeg()[:-2] + b"rubbish") is ItemCode.TRUNCATED


def test_what_follows_a_jpegs_end_does_not_matter():
    data = pictures.jpeg()
    whole = decode(data, LIMIT)[0]
    for tail in (b"\0" * 5000, b"\r\n", b"rubbish", pictures.jpeg(pixels=NOISE), pictures.jpeg()[:-40]):
        assert is_same(data + tail, whole)


def test_arithmetic_coding_says_nothing_of_its_end():
    # It leaves zeros out at the end: a decoder that is given too little does not notice.
    data = cv2.imencode(".jpg", NOISE)[1].tobytes().replace(b"\xff\xc0", b"\xff\xc9", 1)
    assert jpeg.completed(data[:-2]) is None


@pytest.mark.parametrize(("kind", "options", "formal"), FORMAL)
def test_other_formats_without_their_end_are_whole_and_with_one_byte_less_truncated(kind, options, formal):
    data = pictures.encoded(kind, NOISE, **options)
    whole = decode(data, LIMIT)[0]

    assert [lost for lost in range(1, formal + 1) if not is_same(data[:-lost], whole)] == []
    cut = {lost: outcome(data[:-lost]) for lost in (*range(formal + 1, formal + 60), len(data) // 2)}
    assert {lost: code for lost, code in cut.items() if code is not ItemCode.TRUNCATED} == {}
    assert all(is_same(data + tail, whole) for tail in (b"\0" * 9, b"rubbish" * 9))


def test_a_gif_that_ends_between_two_blocks_is_truncated():
    data = pictures.encoded("GIF", np.random.default_rng(2).integers(0, 255, (90, 90, 3), np.uint8))
    at, ends = data.index(b"\x2c", 13 + 3 * 256) + 11, []
    while data[at]:
        at += data[at] + 1
        ends.append(at)
    assert len(ends) > 10

    assert is_same(data[: ends[-1]], decode(data, LIMIT)[0])
    assert {outcome(data[:end]) for end in ends[:-1]} == {ItemCode.TRUNCATED}
    assert {outcome(data[:end] + bytes(999)) for end in (*ends[:-1], 1500)} == {ItemCode.TRUNCATED}


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_an_animation_that_is_cut_behind_its_first_frame_has_one(kind):
    data = pictures.animation(kind)
    assert is_same(data[:-20], decode(data, LIMIT)[0])


def test_an_orientation_that_was_cut_off_is_not_guessed():
    png = pictures.with_late_exif(6)
    assert outcome(png[:-13]) is ItemCode.TRUNCATED
    webp = pictures.rotated("WEBP", 6)
    assert outcome(webp[:-3]) is ItemCode.TRUNCATED


@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"xmp": b"<x/>"}])
def test_a_webp_of_a_wrong_length_is_whole_if_its_picture_is(options):
    data = pictures.encoded("WEBP", NOISE, **options)
    whole = decode(data, LIMIT)[0]
    for said in (0, len(data), len(data) - 7, (1 << 32) - 10):
        assert is_same(data[:4] + struct.pack("<I", said) + data[8:], whole)
    end = data.index(b"XMP ") if options.get("xmp") else len(data)
    for lost in range(2, 40):
        assert outcome(data[: end - lost]) is ItemCode.TRUNCATED


def test_a_webp_without_its_last_byte_of_padding_is_whole():
    for width in range(40, 60):
        data = pictures.encoded("WEBP", NOISE[:, :width], lossless=True)
        if int.from_bytes(data[16:20], "little") % 2:
            assert is_same(data[:-1], decode(data, LIMIT)[0])
            return
    raise AssertionError("no file with padding")


def test_rubbish_after_an_avif_is_not_taken_for_a_box_of_it():
    data = pictures.encoded("AVIF", NOISE)
    assert is_same(data + b"rubbish" * 9, decode(data, LIMIT)[0])
    assert outcome(data[:-1]) is ItemCode.TRUNCATED


def test_a_webp_whose_last_chunk_is_an_empty_header_is_an_item_error():
    assert outcome(b"RIFF" + struct.pack("<I", 99) + b"WEBPVP8X" + bytes(4)) is ItemCode.TRUNCATED
