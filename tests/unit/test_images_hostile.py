"""Files that fuzzing found: each once killed its process, took gigabytes, or raised what nobody caught."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib

import cv2
import imagecodecs
import numpy as np
import pytest
from PIL import Image

from chaos.fuzz.reading import Reader
from common.errors import ItemCode, ItemError
from common.images.decode import decode, read_header
from tests.unit import pictures
from tests.unit.heic_files import heic, noise

LIMIT = 1_000_000
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, *chunks: bytes, depth: int = 8, colour: int = 2) -> bytes:
    header = chunk(b"IHDR", struct.pack(">2I5B", width, height, depth, colour, 0, 0, 0))
    return SIGNATURE + header + b"".join(chunks) + chunk(b"IEND", b"")


def packed(pixels: pictures.Pixels, filtering: int = 0) -> bytes:
    """(h, w, 3) as a PNG's compressed rows, each with the number of its filter before it."""
    return zlib.compress(b"".join(bytes([filtering]) + row.tobytes() for row in pixels))


def control(number: int, width: int, height: int, x: int = 0, y: int = 0) -> bytes:
    return chunk(b"fcTL", struct.pack(">5I2H2B", number, width, height, x, y, 1, 10, 0, 0))


ANIMATED = chunk(b"acTL", struct.pack(">2I", 2, 0))
RED = np.full((4, 6, 3), (200, 30, 30), np.uint8)
GREEN = np.full((2, 3, 3), (30, 200, 30), np.uint8)


def code_of(data: bytes) -> ItemCode | None:
    try:
        decode(data, LIMIT)
    except ItemError as error:
        return error.code
    return None


@pytest.mark.parametrize("name", [b"IDAT", b"tEXt", b"PLTE", b"IEND"])
def test_a_png_chunk_that_claims_4_gib_takes_no_memory(name):
    # OpenCV fills as many zeros as the chunk says, before it looks whether the file has them: 4 GiB, 10 s.
    good = pictures.png()
    at = good.index(b"IEND" if name == b"IEND" else b"IDAT") - 4
    lying = b"\xff\xff\xff\xff" + name + bytes(4)
    data = good[:at] + lying + (b"" if name == b"IEND" else good[at:])

    with Reader(LIMIT) as reader:
        [row] = reader.read([data])

    assert row.code == "corrupt"
    assert reader.peak - reader.first < 50 << 20


def test_a_damaged_animated_png_is_corrupt_and_kills_nobody():
    # OpenCV's reader of animations jumps back into a function that has returned.
    broken = packed(RED, filtering=9)
    data = png(6, 4, ANIMATED, control(0, 6, 4), chunk(b"IDAT", broken), control(1, 6, 4))
    hidden = png(6, 4, ANIMATED, chunk(b"IDAT", packed(RED)), control(0, 6, 4), chunk(b"fdAT", bytes(4) + broken))

    with Reader(LIMIT) as reader:
        rows = reader.read([data, hidden, pictures.png()])

    assert [row.code for row in rows] == ["corrupt", "corrupt", None]


def test_a_frame_outside_its_animation_is_corrupt():
    # x + width is 1 in 32 bits: OpenCV would write far outside its memory.
    for place in ((0xFFFFFFFE, 0), (0, 0xFFFFFFFE), (4, 0)):
        frame = chunk(b"fdAT", bytes(4) + packed(GREEN))
        data = png(6, 4, ANIMATED, chunk(b"IDAT", packed(RED)), control(0, 3, 2, *place), frame)

        assert code_of(data) is ItemCode.CORRUPT


def test_a_checksum_counts_in_an_animation_too():
    data = bytearray(pictures.animation("PNG"))
    data[data.index(b"IDAT") + 30] ^= 0xFF

    assert code_of(bytes(data)) is ItemCode.CORRUPT

    hidden = bytearray(png(6, 4, ANIMATED, chunk(b"IDAT", packed(RED)), control(0, 3, 2), still_to_come()))
    assert code_of(bytes(hidden)) is None
    hidden[-13] ^= 0xFF  # the last byte of the fdAT's checksum
    assert code_of(bytes(hidden)) is ItemCode.CORRUPT


def still_to_come() -> bytes:
    return chunk(b"fdAT", struct.pack(">I", 1) + packed(GREEN))


def test_the_first_frame_is_the_animations_own_and_stands_in_its_place():
    data = png(6, 4, ANIMATED, chunk(b"IDAT", packed(RED)), control(0, 3, 2, 2, 1), still_to_come(), control(2, 6, 4))
    expected = np.zeros((4, 6, 3), np.uint8)
    expected[1:3, 2:5] = GREEN

    assert np.array_equal(decode(data, LIMIT)[0], pictures.bgr(expected))


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        *((mode, options) for mode in ("RGB", "RGBA", "L", "P") for options in ({}, {"default_image": True})),
        *((mode, {"blend": 1, "disposal": 1}) for mode in ("RGB", "RGBA")),
    ],
)
def test_a_sound_animation_is_what_opencv_makes_of_it(mode, options):
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (12, 16, 4), np.uint8)).convert(mode)
    frames = [noise.transpose(Image.Transpose.FLIP_LEFT_RIGHT), noise.transpose(Image.Transpose.ROTATE_180)]
    file = io.BytesIO()
    noise.save(file, "PNG", save_all=True, append_images=frames, **options)
    data = file.getvalue()
    assert data.count(b"fcTL") >= 2

    theirs = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(decode(data, LIMIT)[0], theirs)


def test_an_animation_of_16_bits_is_divided_by_256():
    deep = (np.arange(24 * 3).reshape(4, 6, 3) * 900).astype(">u2")
    data = png(6, 4, ANIMATED, control(0, 6, 4), chunk(b"IDAT", packed(deep)), control(1, 6, 4), depth=16)

    assert np.array_equal(decode(data, LIMIT)[0], pictures.bgr((deep >> 8).astype(np.uint8)))


def test_a_heic_that_lies_about_its_depth_kills_nobody():
    # pi-heif wrote two bytes a sample into memory for one.
    files = []
    deep = noise(200, 200).astype(np.uint16) * 257
    for mode, pixels in (("L", noise(200, 200)[..., 0]), ("RGB", noise(200, 200)), ("RGB;16", deep)):
        data = bytearray(heic(pixels, mode))
        depths = data.index(b"hvcC") + 4 + 17  # of brightness and of colour, less 8, in the low three bits
        for bits in (0, 2, 4, 7):
            data[depths : depths + 2] = bytes([0xF8 | bits, 0xF8 | bits])
            files.append(bytes(data))

    with Reader(LIMIT) as reader:
        rows = [row for _ in range(5) for row in reader.read([*files, pictures.png()])]

    assert {row.code for row in rows} <= {None, "corrupt", "unsupported"}
    assert [row.code for row in rows[len(files) :: len(files) + 1]] == [None] * 5


@pytest.mark.parametrize("tag", [256, 257, 258, 277])
@pytest.mark.parametrize("kind", [2, 5, 7, 12])
def test_a_tiff_tag_of_another_type_is_an_item_error(tag, kind):
    # A width that is bytes, text or a fraction: comparing it raised TypeError.
    data = bytearray(pictures.tiff(np.zeros((4, 6, 3), np.uint8)))
    entry = next(at for at in range(10, 200, 12) if struct.unpack_from("<H", data, at)[0] == tag)
    struct.pack_into("<H", data, entry + 2, kind)

    assert code_of(bytes(data)) in (None, ItemCode.CORRUPT, ItemCode.UNSUPPORTED, ItemCode.TRUNCATED)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize("stage", ["fetch", "decode", "detect"])
def test_no_memory_costs_one_image_and_not_the_process(stage, tmp_path):
    # The real pipeline in a process of its own: the limit stays with it.
    (tmp_path / "good").write_bytes(pictures.png())
    if stage == "fetch":
        with (tmp_path / "big").open("wb") as file:
            file.truncate(1 << 30)
    else:
        size = (12000, 16000) if stage == "decode" else (6000, 8000)
        (tmp_path / "big").write_bytes(pictures.encoded("PNG", np.zeros((*size, 3), np.uint8), compress_level=1))
    program = """
import os, resource, sys
from pathlib import Path
from common import datasets
from jobs.detect.detectors import load
from jobs.detect.detectors.base import DetectOptions
from worker.pool import pipeline, process
folder, stage = os.fsencode(sys.argv[1]), sys.argv[2]
process.one_thread()
detector = load.load("cascade", cache_dir=Path(sys.argv[1]))
job = pipeline.Job(detector, DetectOptions(0.3, 0.4), 10**9, lambda path: datasets.fetch(folder, path))
pipeline.look_at([b"good"], job, lambda looked: True)

def allow(more):
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + more, resource.RLIM_INFINITY))

if stage == "detect":
    # Decoding takes more than detecting: what is left is taken away in between.
    whole = detector.preprocess
    def preprocess(image, options):
        allow(20_000_000)
        return whole(image, options)
    detector.preprocess = preprocess
else:
    allow(200_000_000)
def before(looked):
    if stage == "detect":
        allow(10**9)
    return True

records = pipeline.look_at([b"good", b"big", b"good"], job, before).records
print(*(record.error_code for record in records), records[1].timing.decode_s > 0)
"""
    command = [sys.executable, "-c", program, str(tmp_path), stage]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.stdout.split() == ["None", "out_of_memory", "None", str(stage == "detect")], done.stderr


def test_the_size_of_a_jpeg_2000_is_that_of_its_codestream():
    small = imagecodecs.jpeg2k_encode(np.zeros((16, 16), np.uint8), level=0, codecformat="j2k")
    large = imagecodecs.jpeg2k_encode(np.zeros((1200, 1300), np.uint16), level=0, codecformat="jp2")
    at = large.index(b"jp2c") - 4
    hidden = large[:at] + struct.pack(">I", 24 + len(small)) + b"uuid" + bytes(16) + small + large[at:]
    head = hidden.index(b"ihdr") + 4
    lying = hidden[:head] + struct.pack(">2I", 16, 16) + hidden[head + 8 :]

    for data in (large, hidden, lying):
        header = read_header(data)
        assert header is not None and (header.width, header.height, header.deep) == (1300, 1200, True)
        assert code_of(data) is ItemCode.TOO_LARGE
    for size in (0, 1, 7, 1 << 31):
        assert code_of(hidden[:at] + size.to_bytes(4) + hidden[at + 4 :]) is ItemCode.CORRUPT
