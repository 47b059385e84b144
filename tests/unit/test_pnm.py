"""PBM, PGM, PPM, PAM and PFM are scaled by the largest value that they name."""

from __future__ import annotations

import time

import numpy as np
import pytest

from common.errors import ItemCode, ItemError
from common.images.decode import decode, read_header
from common.images.scale import Scale
from tests.unit import pictures

LIMIT = 1_000_000
RANDOM = np.random.default_rng(3)


def grey_of(data: bytes, scale: Scale | None = None) -> pictures.Pixels:
    image = decode(data, LIMIT, scale)[0]
    assert (image == image[..., :1]).all()
    return image[..., 0]


def raw(samples: pictures.Pixels, top: int) -> bytes:
    return samples.astype(np.uint8 if top < 256 else ">u2").tobytes()


def plain(samples: pictures.Pixels) -> bytes:
    return b"\n".join(b" ".join(b"%d" % value for value in row) for row in samples.reshape(len(samples), -1))


def code_of(data: bytes, scale: Scale | None = None) -> tuple[ItemCode, str]:
    with pytest.raises(ItemError) as caught:
        decode(data, LIMIT, scale)
    return caught.value.code, str(caught.value)


def by_rule(samples: pictures.Pixels, top: int) -> pictures.Pixels:
    """In whole numbers: to the nearest up to 255, and of 256 equal parts above."""
    wide = samples.astype(np.int64)
    return (2 * wide * 255 + top) // (2 * top) if top < 256 else wide * 256 // (top + 1)


@pytest.mark.parametrize("top", [1, 2, 3, 7, 15, 63, 100, 200, 254, 255, 256, 1000, 1023, 4095, 16383, 65534, 65535])
@pytest.mark.parametrize("bands", [1, 3])
def test_the_largest_value_is_white(top, bands):
    samples = RANDOM.integers(0, top + 1, (5, 7, bands))
    samples[0, 0], samples[0, 1] = top, 0
    expected = pictures.bgr(np.broadcast_to(by_rule(samples, top), (5, 7, 3)))
    grey = bands == 1
    pam = b"P7\nWIDTH 7\nHEIGHT 5\nDEPTH %d\nMAXVAL %d\nTUPLTYPE %s\nENDHDR\n"
    for data in (
        b"P%d\n7 5\n%d\n" % (5 if grey else 6, top) + raw(samples, top),
        b"P%d # one\n# two\n7\t5 # three\n%d\n" % (2 if grey else 3, top) + plain(samples),
        pam % (bands, top, b"GRAYSCALE" if grey else b"RGB") + raw(samples, top),
    ):
        image, header = decode(data, LIMIT)
        assert np.array_equal(image, expected)
        assert header == read_header(data) and header.deep == (top > 255)
        assert np.array_equal(image, decode(data, LIMIT)[0])


def test_black_and_white():
    bits = RANDOM.integers(0, 2, (5, 11), np.uint8)
    white = (1 - bits) * 255

    assert np.array_equal(grey_of(b"P4\n11 5\n" + np.packbits(bits, axis=1).tobytes()), white)
    assert np.array_equal(grey_of(b"P1\n11 5\n" + plain(bits)), white)
    assert np.array_equal(grey_of(b"P1\n11 5\n" + plain(bits).replace(b" ", b"")), white)
    pam = b"P7\nWIDTH 11\nHEIGHT 5\nDEPTH 1\nMAXVAL 1\nTUPLTYPE BLACKANDWHITE\nENDHDR\n"
    assert np.array_equal(grey_of(pam + bits.tobytes()), 255 - white)


@pytest.mark.parametrize(
    ("kind", "bands", "colours"), [("RGB_ALPHA", 4, 3), ("GRAYSCALE_ALPHA", 2, 1), ("BLACKANDWHITE_ALPHA", 2, 1)]
)
def test_the_alpha_of_a_pam_is_dropped(kind, bands, colours):
    top = 1 if kind.startswith("BLACK") else 255
    samples = RANDOM.integers(0, top + 1, (5, 7, bands), np.uint8)
    head = f"P7\nWIDTH 7\nHEIGHT 5\nDEPTH {bands}\nMAXVAL {top}\nTUPLTYPE {kind}\n# said\nENDHDR\n"

    image, _ = decode(head.encode() + samples.tobytes(), LIMIT)

    expected = np.broadcast_to(samples[..., :colours] * (255 // top), (5, 7, 3))
    assert np.array_equal(image, pictures.bgr(expected))


def test_an_unknown_tuple_type_is_refused_by_name():
    head = b"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 4\nMAXVAL 255\nTUPLTYPE CMYK\nENDHDR\n1234"

    assert code_of(head) == (ItemCode.UNSUPPORTED, code_of(head)[1]) and "CMYK" in code_of(head)[1]
    assert "4 bands, tuple type not given" in code_of(head.replace(b"TUPLTYPE CMYK\n", b""))[1]


def test_lines_that_end_as_on_windows():
    samples = RANDOM.integers(0, 256, (5, 7), np.uint8)
    samples[0, 0] = 10  # a sample that is itself the end of a line

    assert np.array_equal(grey_of(b"P5\r\n7 5\r\n255\r\n" + samples.tobytes()), samples)
    assert np.array_equal(grey_of(b"P5\n7 5\n255\r" + samples.tobytes()), samples)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("bands", [1, 3])
def test_floating_point_needs_a_scale(order, bands):
    samples = RANDOM.random((5, 7, bands)).astype(f"{order}f4")
    size = b"-1.0" if order == "<" else b"1.0"
    data = (b"Pf" if bands == 1 else b"PF") + b"\n7 5\n" + size + b"\n" + samples[::-1].tobytes()

    code, text = code_of(data)
    assert code is ItemCode.UNSUPPORTED and "PFM" in text and "--scale" in text
    image, header = decode(data, LIMIT, Scale(0, 0.5))
    expected = (255 * (samples.astype(np.float64) / 0.5).clip(0, 1)).astype(np.uint8)
    assert np.array_equal(image, pictures.bgr(np.broadcast_to(expected, (5, 7, 3)))) and header.deep


@pytest.mark.parametrize(
    "head", [b"P5\n7 5\n255\n", b"P6\n7 5\n65535\n", b"P4\n70 5\n", b"P2\n7 5\n99\n1 2 3", b"P1\n7 5\n1 0"]
)
def test_missing_samples_are_truncated(head):
    assert code_of(head.ljust(25, b"\n" if head[1:2] in b"12" else b"\1"))[0] is ItemCode.TRUNCATED


@pytest.mark.parametrize(
    "data",
    [
        b"P5\n2 1\n100\n\1\x65",
        b"P5\n2 1\n1000\n\0\1\3\xe9",
        b"P2\n2 1\n100\n1 101",
        b"P2\n2 1\n100\n1 -1  ",
        b"P2\n2 1\n100\n1 two",
        b"P2\n2 1\n100\n1 1.5",
        b"P1\n2 1\n1 2",
        b"P5\n2 1\n0\n\0\0",
        b"P5\n2 1\n65536\n\0\0\0\0",
        b"P5\n0 1\n255\n\0\0",
        b"P5\n2 x\n255\n\0\0".ljust(40),
    ],
)
def test_what_its_own_head_does_not_allow_is_corrupt(data):
    assert code_of(data)[0] is ItemCode.CORRUPT


def test_a_huge_head_takes_no_memory():
    for head in (
        b"P5\n99999 99999\n255\n",
        b"P2\n99999 99999\n255\n",
        b"P7\nWIDTH 99999\nHEIGHT 99999\nDEPTH 1\nMAXVAL 1\nENDHDR\n",
    ):
        assert code_of(head + bytes(99))[0] is ItemCode.TOO_LARGE


def test_the_first_of_several_pictures_is_taken():
    one = b"P5\n2 1\n255\n\1\2"
    assert np.array_equal(grey_of(one + b"P5\n1 1\n255\n\7"), [[1, 2]])


@pytest.mark.parametrize("size", [1, 7, 50])
def test_a_plain_picture_is_the_same_in_pieces(size, monkeypatch):
    samples = RANDOM.integers(0, 256, (9, 11), np.uint8)
    text = plain(samples).replace(b"\n", b" # 1 2 # 3\r\n", 4).replace(b" ", b"#4\n", 3)
    bits = RANDOM.integers(0, 2, (9, 11), np.uint8)
    monkeypatch.setattr("common.images.pnm._PIECE", size)

    assert np.array_equal(grey_of(b"P2\n11 9\n255\n" + text), samples)
    for digits in (plain(bits), plain(bits).replace(b" ", b""), plain(bits).replace(b"\n", b"# 1\n")):
        assert np.array_equal(grey_of(b"P1\n11 9\n" + digits), (1 - bits) * 255)
    assert code_of(b"P2\n11 9\n255\n" + text[:-8])[0] is ItemCode.TRUNCATED
    assert code_of(b"P2\n11 9\n255\n" + text.replace(b" ", b" -", 70))[0] is ItemCode.CORRUPT


@pytest.mark.parametrize(
    "rest", [b"\x1a", b"\0\0", b"\n\x1a", b"P2 1 1 9 3", b"\nP2 1 1 9 3", b" 7 8", b" # said", b"\n\xff"]
)
def test_whatever_follows_a_plain_picture_is_passed_over(rest):
    assert np.array_equal(grey_of(b"P2\n2 1\n255\n1 25" + rest), [[1, 25]])
    assert np.array_equal(grey_of(b"P1\n2 1\n01" + rest), [[255, 0]])


def test_a_plain_picture_that_was_filled_up_is_truncated():
    for filling in (bytes(30), b"\x1a", bytes(2 << 20) + b" " + bytes(9) + b" 7"):
        assert code_of(b"P2\n3 1\n255\n1 25 " + filling)[0] is ItemCode.TRUNCATED


def test_a_long_text_is_not_read_beyond_its_picture():
    data = b"P2 1 1 255\n" + b"1 " * 25_000_000
    started = time.process_time()

    assert np.array_equal(grey_of(data), [[1]])
    assert time.process_time() - started < 0.5


def test_a_pams_head_takes_any_white_space():
    head = b"P7\nWIDTH\t2\n HEIGHT  1\nDEPTH\t 1\nMAXVAL 255\nTUPLTYPE\tGRAYSCALE\n\nENDHDR\n"

    assert np.array_equal(grey_of(head + b"\1\2"), [[1, 2]])
