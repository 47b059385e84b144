"""`--scale` maps the values of every format that is deeper than 8 bits, and no other's."""

from __future__ import annotations

import struct

import cv2
import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import ItemCode, ItemError, UsageError
from common.images.decode import decode
from common.images.depth import scaled, to_bytes
from common.images.scale import Scale
from tests.unit import pictures

LIMIT = 1_000_000
DEEP = np.random.default_rng(4).integers(0, 4096, (20, 30, 3), np.uint16)


@pytest.mark.parametrize(
    ("text", "scale"),
    [
        ("0:4000", Scale(0, 4000)),
        (" 0 : 4000 ", Scale(0, 4000)),
        ("-12.5:1e4", Scale(-12.5, 10000)),
        ("2%:98%", Scale(2, 98, percent=True)),
        ("0%:99.9%", Scale(0, 99.9, percent=True)),
    ],
)
def test_what_is_typed_is_read_and_written_again(text, scale):
    assert Scale.parse(text) == scale == Scale.parse(str(scale))


@pytest.mark.parametrize(
    "text",
    [
        *("", "4000", "0-4000", "0:", "1:2:3", "4000:0", "5:5", "a:b", "0x1:2", "0:4,000", "nan:1", "0:inf", "0:1e999"),
        *("2%:98", "2:98%", "98%:2%", "-1%:50%", "0%:101%"),
    ],
)
def test_what_is_no_range_is_refused_with_an_example(text):
    with pytest.raises(UsageError, match="--scale 0:4000"):
        Scale.parse(text)


def expected(samples: pictures.Pixels, low: float, high: float) -> pictures.Pixels:
    return (255 * np.clip((samples.astype(np.float64) - low) / (high - low), 0, 1)).astype(np.uint8)


def deep_files() -> dict[str, bytes]:
    pam = b"P7\nWIDTH 30\nHEIGHT 20\nDEPTH 3\nMAXVAL 4095\nENDHDR\n"
    return {
        "PNG": pictures.deep_png(DEEP),
        "TIFF": pictures.tiff(DEEP),
        "PPM": b"P6\n30 20\n65535\n" + DEEP.astype(">u2").tobytes(),
        "PAM": pam + DEEP.astype(">u2").tobytes(),
        "JPEG 2000": imagecodecs.jpeg2k_encode(DEEP, level=0, reversible=True, bitspersample=12),
        "JPEG 2000 of 16 bits": imagecodecs.jpeg2k_encode(DEEP, level=0, reversible=True),
    }


@pytest.mark.parametrize("name", list(deep_files()))
@pytest.mark.parametrize("scale", [Scale(100, 3000.5), Scale(2, 98, percent=True), None])
def test_every_deep_format_is_mapped(name, scale):
    image, header = decode(deep_files()[name], LIMIT, scale)

    assert header.deep
    if scale is None:
        shift = 4 if name in ("PAM", "JPEG 2000") else 8
        assert np.array_equal(image, pictures.bgr(DEEP >> shift))
        return
    low, high = np.percentile(DEEP, (2, 98)) if scale.percent else (100, 3000.5)
    assert np.array_equal(image, pictures.bgr(expected(DEEP, low, high)))


@pytest.mark.parametrize("bits", [8, 10, 12])
def test_avif_of_more_than_8_bits(bits):
    smooth = cv2.resize(DEEP[:4, :5], (64, 48), interpolation=cv2.INTER_LINEAR) >> (12 - bits)
    smooth = smooth.astype(np.uint8 if bits == 8 else np.uint16)
    data = imagecodecs.avif_encode(smooth, level=95, bitspersample=bits, pixelformat="444")

    image, header = decode(data, LIMIT)
    assert header.deep == (bits > 8)
    assert np.abs(image.astype(int) - pictures.bgr(smooth >> (bits - 8))).mean() < 3
    top = 1 << (bits - 1)
    mapped, _ = decode(data, LIMIT, Scale(0, top))
    wanted = expected(smooth, 0, top) if bits > 8 else smooth
    assert np.abs(mapped.astype(int) - pictures.bgr(wanted)).mean() < 4


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "BMP", "PPM", "WEBP", "GIF"])
def test_images_of_8_bits_stay_as_they_are(kind):
    data = pictures.encoded(kind)

    image, header = decode(data, LIMIT, Scale(0, 10))

    assert not header.deep and np.array_equal(image, decode(data, LIMIT)[0])


def test_a_significant_bits_chunk_changes_nothing():
    """PNG's samples span their whole range, whatever sBIT says of where they come from."""
    data = pictures.deep_png(DEEP[..., 0] * 16)
    chunk = pictures._chunk(b"sBIT", b"\x0c")

    assert np.array_equal(decode(data[:33] + chunk + data[33:], LIMIT)[0], decode(data, LIMIT)[0])


def test_what_is_no_number_is_black():
    values = np.array([[np.nan, -np.inf, np.inf, 0.0, 0.25, 1.0, 9.0]], np.float32)

    assert scaled(values, Scale(0, 1)).tolist() == [[0, 0, 255, 0, 63, 255, 255]]
    assert scaled(values, Scale(0, 50, percent=True)).tolist() == [[0, 0, 255, 0, 102, 255, 255]]


def test_an_image_of_one_value():
    assert scaled(np.full((2, 3), 7, np.uint16), Scale(2, 98, percent=True)).tolist() == [[0, 0, 0]] * 2
    assert scaled(np.full((2, 3), np.nan), Scale(2, 98, percent=True)).tolist() == [[0, 0, 0]] * 2


@settings(max_examples=60, derandomize=True, deadline=None, database=None)
@given(
    values=st.lists(st.integers(0, 65535), min_size=1, max_size=40),
    low=st.floats(0, 99),
    more=st.floats(0.1, 100),
)
def test_percentiles_are_numpys(values, low, more):
    samples = np.array(values, np.uint16)
    high = min(low + more, 100.0)
    a, b = np.percentile(samples, (low, high))

    found = to_bytes(samples, 65535, Scale(low, high, percent=True))

    assert np.array_equal(found, expected(samples, a, b) if b > a else (samples > a) * 255)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (lambda: imagecodecs.jpeg8_encode(DEEP, level=90, bitspersample=12), "JPEG of 12 bits"),
        (lambda: imagecodecs.ljpeg_encode(DEEP[..., 0], bitspersample=12), "lossless JPEG of 12 bits"),
        (lambda: imagecodecs.jpeg2k_encode(DEEP.astype(np.int16), level=0), "JPEG 2000 of 16 bits, signed"),
        (lambda: imagecodecs.jpeg2k_encode(DEEP.astype(np.int8), level=0), "JPEG 2000 of 8 bits, signed"),
    ],
)
def test_what_no_decoder_here_takes_is_named(data, words):
    with pytest.raises(ItemError, match=words) as caught:
        decode(data(), LIMIT)
    assert caught.value.code is ItemCode.UNSUPPORTED


def bmp(bits: int, masks: tuple[int, ...], pixels: pictures.Pixels, head: int = 40, downward: bool = False) -> bytes:
    rows = b"".join(row.tobytes().ljust(-(-row.nbytes // 4) * 4, b"\0") for row in pixels)
    info = struct.pack(
        "<IiiHHIIiiII",
        head,
        pixels.shape[1],
        len(pixels) * (-1 if downward else 1),
        1,
        bits,
        3 * bool(masks),
        0,
        0,
        0,
        0,
        0,
    )
    after = (info + struct.pack(f"<{len(masks)}I", *masks)).ljust(max(head, len(info) + 4 * len(masks)), b"\0")
    return b"BM" + struct.pack("<IHHI", 14 + len(after) + len(rows), 0, 0, 14 + len(after)) + after + rows


@pytest.mark.parametrize("downward", [False, True])
@pytest.mark.parametrize("head", [40, 56, 108, 124])
@pytest.mark.parametrize(
    ("bits", "masks"),
    [
        (16, (0xF800, 0x7E0, 0x1F)),
        (16, (0x7C00, 0x3E0, 0x1F)),
        (16, (0xF00, 0xF0, 0xF)),
        (16, ()),
        (32, (0xFF0000, 0xFF00, 0xFF)),
        (32, (0xFF, 0xFF00, 0xFF0000)),
        (32, (0xFF000000, 0xFF0000, 0xFF00)),
        (32, (0x3FF00000, 0xFFC00, 0x3FF)),
        (32, ()),
    ],
)
def test_the_bit_fields_of_a_bmp_span_their_whole_range(bits, masks, head, downward):
    pixels = np.random.default_rng(6).integers(0, 1 << bits, (5, 7), np.uint64).astype(f"<u{bits // 8}")
    data = bmp(bits, masks, pixels if downward else pixels[::-1], head, downward)
    expected = []
    for mask in masks or ((0x7C00, 0x3E0, 0x1F) if bits == 16 else (0xFF0000, 0xFF00, 0xFF)):
        lowest = mask & -mask
        value, top = (pixels.astype(np.int64) & mask) // lowest, mask // lowest
        expected.append(value * 256 // (top + 1) if top > 255 else (2 * value * 255 + top) // (2 * top))

    image, header = decode(data, LIMIT)

    assert np.array_equal(pictures.bgr(image), np.dstack(expected))
    assert (header.width, header.height) == (7, 5)


def test_bit_fields_with_holes_are_refused_and_cut_ones_truncated():
    pixels = np.zeros((5, 7), np.uint16)
    with pytest.raises(ItemError, match="0xf0f") as caught:
        decode(bmp(16, (0xF0F, 0xF0, 0x7000), pixels), LIMIT)
    assert caught.value.code is ItemCode.UNSUPPORTED
    with pytest.raises(ItemError, match="ends early") as caught:
        decode(bmp(16, (), pixels)[:-9], LIMIT)
    assert caught.value.code is ItemCode.TRUNCATED
