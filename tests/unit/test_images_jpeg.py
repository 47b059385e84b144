"""Where simplejpeg decodes a JPEG in OpenCV's place, not one pixel differs; everything else is left to OpenCV."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from common.images import headers, jpeg
from common.images.decode import decode
from tests.unit import pictures

LIMIT = 10_000_000
SHARED = Path(os.environ.get("MANYEYES_SHARED", Path(__file__).resolve().parents[2] / ".." / "shared")).resolve()
#: Horizontal and vertical, of the brightness; colour has 1 and 1.
SAMPLINGS = (0x11, 0x21, 0x22, 0x12, 0x41)
SIZES = ((1, 1), (1, 9), (7, 1), (8, 8), (15, 17), (16, 16), (33, 31), (64, 48), (101, 67))


def by_opencv(data: bytes) -> pictures.Pixels | None:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)


def quick(data: bytes) -> pictures.Pixels | None:
    header = headers.read_header(data)
    assert header is not None
    return jpeg.read(data, *header.stored_size)


def made(sampling: int) -> Iterator[bytes]:
    random = np.random.default_rng(sampling)
    for number, (width, height) in enumerate(SIZES):
        noise = random.integers(0, 256, (height, width, 3), np.uint8)
        smooth = cv2.resize(
            random.integers(0, 256, (3, 3, 3), np.uint8), (width, height), interpolation=cv2.INTER_CUBIC
        )
        for pixels in (noise, smooth):
            for quality in (3, 50, 75, 92, 100):
                options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling << 16 | 0x1111]
                options += [cv2.IMWRITE_JPEG_PROGRESSIVE, quality % 2, cv2.IMWRITE_JPEG_OPTIMIZE, number % 2]
                options += [cv2.IMWRITE_JPEG_RST_INTERVAL, number % 3]
                yield cv2.imencode(".jpg", pixels, options)[1].tobytes()


@pytest.mark.parametrize("sampling", SAMPLINGS, ids=hex)
def test_made_files_of_every_kind_have_equal_pixels(sampling):
    taken = 0
    for data in made(sampling):
        frame = next(body for marker, body in jpeg._segments(data) if 0xC0 <= marker <= 0xC2)
        assert frame[7] == sampling
        if (ours := quick(data)) is not None:
            taken += 1
            assert np.array_equal(ours, by_opencv(data))
    assert taken == 10 * len(SIZES)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 1}])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_grey_and_files_without_jfif_have_equal_pixels(mode, options):
    pixels = np.random.default_rng(3).integers(0, 256, (37, 53, 3), np.uint8)
    data = pictures.encoded("JPEG", pixels, mode, **options)
    adobe = data[:2] + b"\xff\xee\0\x0eAdobe\0\x64" + bytes(4) + b"\0" + data[20:]  # its three channels are RGB
    assert adobe[18] == 0xFF
    for file in (data, adobe):
        ours = quick(file)
        assert ours is not None and np.array_equal(ours, by_opencv(file))
        assert np.array_equal(decode(file, LIMIT)[0], ours)


def test_what_is_not_ordinary_is_left_to_opencv():
    data = pictures.jpeg()
    scan = data.index(b"\xff\xda")
    odd = {
        "CMYK": pictures.encoded("JPEG", mode="CMYK"),
        "damaged": data[: scan + 40] + b"\xff\xd0" + data[scan + 42 :],
        "rubbish between segments": data[:20] + b"\0\0" + data[20:],
        "an unknown version of JFIF": data.replace(b"JFIF\0\1", b"JFIF\0\3"),
        "too little data": data[:-40] + b"\xff\xd9",
    }
    assert {name for name, file in odd.items() if quick(file) is not None} == set()
    assert all(np.array_equal(decode(file, LIMIT)[0], by_opencv(file)) for file in odd.values())
    assert jpeg.read(data, 63, 48) is None  # the header was read otherwise


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_quick_way_is_turned_too(orientation):
    data = pictures.rotated("JPEG", orientation, quality=95)
    assert quick(data) is not None
    assert pictures.difference(decode(data, LIMIT)[0], pictures.scene()) < 6


@pytest.mark.real
@pytest.mark.skipif(not SHARED.is_dir(), reason="no shared data beside the checkout")
@pytest.mark.parametrize("folder", ["coco-val100", "animals-voc/test", "exif-orientation", "hard-images"])
def test_real_files_have_equal_pixels(folder):
    taken, differing = 0, []
    for path in sorted((SHARED / "data" / folder).rglob("*")):
        data = path.read_bytes() if path.is_file() and path.stat().st_size < 3_000_000 else b""
        header = headers.read_header(data) if headers.sniff(data) == "JPEG" else None
        if header is None or (ours := jpeg.read(data, *header.stored_size)) is None:
            continue
        taken += 1
        theirs = by_opencv(data)
        if theirs is None or not np.array_equal(ours, theirs):
            differing.append(path.name)
    assert differing == [] and taken > 10
