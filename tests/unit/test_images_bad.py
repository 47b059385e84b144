"""Bad files in, an ItemError with the right code out, and never anything else."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import ItemCode, ItemError
from common.images.decode import decode
from common.limits import DEFAULT_MAX_PIXELS, MAX_ERROR_CHARS
from tests.unit import pictures

#: Pillow warns of tags; a worker silences that once, and pytest forgets it between tests.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

KINDS = ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "JPEG2000", "AVIF", "PPM"]


def failure(data: bytes, max_pixels: int = DEFAULT_MAX_PIXELS) -> ItemError:
    with pytest.raises(ItemError) as caught:
        decode(data, max_pixels)
    text = str(caught.value)
    assert text and "\n" not in text and len(text) <= MAX_ERROR_CHARS
    return caught.value


def test_no_bytes():
    assert failure(b"").code is ItemCode.EMPTY


@pytest.mark.parametrize("data", [b"this is no picture\n" * 40, b"{}", bytes(1000), b"<html><body>404</body></html>"])
def test_text_named_jpg(data):
    assert failure(data).code is ItemCode.NOT_AN_IMAGE


@pytest.mark.parametrize("share", [0.5, 0.8, 0.97])
@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_file_is_truncated(kind, share):
    noise = np.random.default_rng(1).integers(0, 255, (48, 64, 3), np.uint8)
    data = pictures.encoded(kind, noise)

    assert failure(pictures.cut(data, share)).code is ItemCode.TRUNCATED


@pytest.mark.parametrize("options", [{"compression": "tiff_lzw"}, {"compression": "jpeg"}])
def test_a_cut_compressed_tiff_is_truncated(options):
    noise = np.random.default_rng(1).integers(0, 255, (48, 64, 3), np.uint8)
    assert failure(pictures.cut(pictures.encoded("TIFF", noise, **options))).code is ItemCode.TRUNCATED


def test_a_jpeg_cut_behind_its_thumbnail_is_truncated():
    # The thumbnail's own end mark must not pass for the picture's.
    assert failure(pictures.with_thumbnail()[:-200]).code is ItemCode.TRUNCATED


def test_a_jpeg_filled_up_with_zeros_is_truncated():
    data = pictures.jpeg()
    assert failure(pictures.cut(data).ljust(len(data), b"\0")).code is ItemCode.TRUNCATED


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF"])
def test_a_picture_of_50000_by_50000_is_refused_by_its_header(kind):
    error = failure(pictures.huge(kind))

    assert error.code is ItemCode.TOO_LARGE
    assert "50000 x 50000" in str(error) and "--max-pixels" in str(error)


def test_max_pixels_is_the_last_size_that_is_taken():
    assert decode(pictures.png(), 64 * 48)[0].shape == (48, 64, 3)
    assert failure(pictures.png(), 64 * 48 - 1).code is ItemCode.TOO_LARGE


def test_a_side_that_opencv_refuses_is_too_large():
    error = failure(pictures.huge("PNG", 2_000_000, 2))

    assert error.code is ItemCode.TOO_LARGE and "2000000 x 2" in str(error)


def test_a_png_with_a_wrong_checksum_is_corrupt():
    data = bytearray(pictures.png())
    data[data.index(b"IDAT") + 30] ^= 0xFF
    assert failure(bytes(data)).code is ItemCode.CORRUPT


def test_a_broken_header_is_corrupt():
    data = bytearray(pictures.png())
    data[20] ^= 0xFF
    assert failure(bytes(data)).code is ItemCode.CORRUPT


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (np.zeros((8, 8, 13), np.uint16), "13 bands of 16 bits"),
        (np.zeros((8, 8, 3), np.float32), "32 bits, floating point"),
        (np.zeros((8, 8), np.float32), "32 bits, floating point"),
    ],
)
def test_a_tiff_that_is_no_photograph_is_unsupported(pixels, words):
    error = failure(pictures.tiff(pixels))

    assert error.code is ItemCode.UNSUPPORTED and words in str(error)
    assert ("--scale" if pixels.dtype == np.float32 else "convert") in str(error)


def test_an_image_format_that_is_not_taken_is_named():
    error = failure(b"\xff\x0a" + bytes(100))

    assert error.code is ItemCode.UNSUPPORTED and "JPEG XL" in str(error)


def test_no_memory_is_a_code_and_the_next_image_is_fine():
    # In a process of its own: the limit stays with it.
    program = """
import resource
from common.errors import ItemError
from tests.unit import pictures
from common.images.decode import decode
big, small = pictures.huge("PNG", 16000, 12000), pictures.png()
decode(small, 10**9)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 300_000_000,) * 2)
try:
    decode(big, 10**9)
except ItemError as error:
    print(error.code)
print(decode(small, 10**9)[0].shape)
"""
    if sys.platform != "linux":
        pytest.skip("needs /proc")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["out_of_memory", "(48, 64, 3)"]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "GIF"])
def test_the_same_damage_gives_the_same_text(kind):
    data = pictures.cut(pictures.encoded(kind))
    assert str(failure(data)) == str(failure(data))


def test_codecs_keep_silent_about_cut_files():
    program = """
from common.errors import ItemError
from tests.unit import pictures
from common.images.decode import decode
for kind in ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "JPEG2000"):
    try:
        decode(pictures.cut(pictures.encoded(kind)), 10**9)
    except ItemError as error:
        print(error.code)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout.split(), done.stderr) == (["truncated"] * 7, "")


@settings(max_examples=60, derandomize=True, deadline=None, database=None)
@given(
    kind=st.sampled_from(["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"]),
    changes=st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), min_size=1, max_size=8),
    share=st.sampled_from([1.0, 1.0, 0.9, 0.3, 0.05]),
)
def test_changed_bytes_give_an_image_or_an_item_error(kind, changes, share):
    data = bytearray(pictures.cut(pictures.encoded(kind), share))
    for at, value in changes:
        data[at % len(data)] = value
    try:
        image, header = decode(bytes(data), 1_000_000)
    except ItemError as error:
        assert "\n" not in str(error) and len(str(error)) <= MAX_ERROR_CHARS
    else:
        assert image.dtype == np.uint8 and image.shape == (header.height, header.width, 3)
