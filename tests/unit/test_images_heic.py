"""HEIC files give their primary picture, upright in 8-bit BGR, or the code that says why not."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from common.datasets.base import is_image_name
from common.errors import ItemCode, ItemError
from common.images import heif_boxes
from common.images.decode import decode, read_header, sniff
from common.images.scale import Scale
from tests.unit import pictures
from tests.unit.heic_files import heic, noise, rotated, several, with_crop, with_size

LIMIT = 10_000_000
SHARED = Path(os.environ.get("MANYEYES_SHARED", Path(__file__).resolve().parents[2] / ".." / "shared")).resolve()
ALPHA = np.dstack([pictures.scene(), np.zeros((48, 64, 1), np.uint8)])


def failure(data: bytes, max_pixels: int = LIMIT) -> ItemError:
    with pytest.raises(ItemError) as caught:
        decode(data, max_pixels)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("name", ["IMG_0001.HEIC", "a.heif", "b.HIF"])
def test_folders_take_them_by_name(name):
    assert is_image_name(name.encode())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"chroma": 420},
        {"tile_size": 16},  # as phones do it
        {"mode": "RGBA", "pixels": ALPHA},  # what lies under transparent pixels shows, as in other formats
        {"save_nclx_profile": True, "color_primaries": 12, "transfer_characteristic": 13, "matrix_coefficients": 1},
        {"icc_profile": b"rubbish" * 30, "icc_profile_type": "prof"},
    ],
    ids=lambda options: " ".join(options) or "plain",
)
def test_the_scene(options):
    data = heic(**options)
    image, header = decode(data, LIMIT)

    assert pictures.difference(image, pictures.scene()) < 3
    assert (header.kind, header.width, header.height, header.exif_orientation) == ("HEIC", 64, 48, None)
    assert image.dtype == np.uint8 and image.flags.c_contiguous and image.flags.writeable and not header.deep
    assert read_header(data) == header


def test_grey_is_three_equal_channels():
    image, _ = decode(heic(pictures.scene()[..., 0], "L"), LIMIT)
    assert np.abs(image.astype(int) - pictures.scene()[..., :1]).max() <= 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_eight_turnings_are_applied_once_though_exif_says_them_too(orientation):
    data = rotated(orientation)
    assert b"Exif" in data and (orientation == 1) == (b"irot" not in data and b"imir" not in data)
    image, header = decode(data, LIMIT)

    assert pictures.difference(image, pictures.scene()) < 3
    assert (header.width, header.height) == (64, 48)
    assert header.exif_orientation == (None if orientation == 1 else orientation)
    assert read_header(data) == header


def test_exif_alone_turns_nothing():
    exif = pictures.Image.Exif()
    exif[0x0112] = 6
    data = heic()
    turned = heic(exif=exif.tobytes())
    # pillow-heif writes irot for it: what is left is EXIF, as of a careless converter.
    only_exif = turned.replace(b"\x09irot\x03", b"\x09irot\x00")
    assert only_exif != turned and b"Exif" in only_exif

    image, header = decode(only_exif, LIMIT)
    assert np.array_equal(image, decode(data, LIMIT)[0])
    assert header.exif_orientation == 1  # no turn: what irot says, not what EXIF says


@pytest.mark.parametrize("turns", [b"irot\x01", b"irot\x02", b"irot\x03", b"imir\x00", b"imir\x01"])
def test_the_sizes_and_codes_of_turnings_in_either_order_are_what_libheif_makes_of_them(turns):
    # The file says in which order both are applied, and libheif keeps to it.
    data = rotated(7)
    for order in (data, _with_turnings_swapped(data)):
        changed = order.replace(turns[:4] + order[order.index(turns[:4]) + 4 :][:1], turns)
        image, header = decode(changed, LIMIT)
        stored = pictures.stored(pictures.Image.fromarray(pictures.scene()), 7)
        upright = np.asarray(_turned(stored, header.exif_orientation))
        assert pictures.difference(image, upright) < 3
        assert read_header(changed) == header


def _with_turnings_swapped(data: bytes) -> bytes:
    """The list of the item's properties names irot and imir in the other order."""
    names = [box.name for box in heif_boxes.read_picture(data).parts[0].properties]
    assert {names[-1], names[-2]} == {b"irot", b"imir"}
    at = data.index(b"ipma") + 4
    end = at + 4 + 4 + 2 + 1 + len(names)
    return data[: end - 2] + data[end - 1 : end] + data[end - 2 : end - 1] + data[end:]


def _turned(picture: pictures.Image.Image, orientation: int | None) -> pictures.Image.Image:
    """As a person sees a picture of this EXIF orientation."""
    return next(
        seen
        for method in (None, *pictures.Image.Transpose)
        for seen in [picture if method is None else picture.transpose(method)]
        if np.array_equal(np.asarray(pictures.stored(seen, orientation or 1)), np.asarray(picture))
    )


def test_deep_samples_are_shifted_down_to_8_bits():
    grey = (np.arange(64 * 48) * 21 % 65536).astype("<u2").reshape(48, 64)
    image, header = decode(heic(grey, "L;16", quality=-1), LIMIT)

    assert header.deep
    assert np.abs(image[..., 0].astype(int) - (grey >> 8)).max() <= 1

    colour, header = decode(heic(pictures.scene().astype("<u2") * 257, "RGB;16"), LIMIT)
    assert header.deep and pictures.difference(colour, pictures.scene()) < 3


def test_deep_avif_is_shifted_down_to_8_bits():
    import cv2

    deep = (np.arange(64 * 48 * 3) * 5 % 1024).astype(np.uint16).reshape(48, 64, 3)
    data = cv2.imencode(".avif", deep, [cv2.IMWRITE_AVIF_QUALITY, 100, cv2.IMWRITE_AVIF_DEPTH, 10])[1].tobytes()
    image, header = decode(data, LIMIT)

    assert header.deep and np.array_equal(image, (deep >> 2).astype(np.uint8))


def test_a_scale_is_in_the_units_of_the_files_own_depth():
    import cv2

    grey = (np.arange(64 * 48) * 21 % 65536).astype("<u2").reshape(48, 64)
    data = heic(grey, "L;16", quality=-1)
    top = (1 << heif_boxes.read_picture(data).bits) - 1
    plain, bright = decode(data, LIMIT)[0], decode(data, LIMIT, Scale.parse(f"0:{top // 4}"))[0]
    assert top > 255
    assert np.abs(bright.astype(int) - (plain.astype(int) * 4).clip(0, 255)).max() <= 4

    deep = (np.arange(64 * 48 * 3) * 5 % 1024).astype(np.uint16).reshape(48, 64, 3)
    data = cv2.imencode(".avif", deep, [cv2.IMWRITE_AVIF_QUALITY, 100, cv2.IMWRITE_AVIF_DEPTH, 10])[1].tobytes()
    image = decode(data, LIMIT, Scale.parse("100:500"))[0]
    assert np.array_equal(image, (255 * ((deep - 100.0) / 400).clip(0, 1)).astype(np.uint8))


@pytest.mark.parametrize("primary", [0, 1, 2])
def test_of_several_pictures_the_primary_is_taken(primary):
    colours = [(200, 30, 30), (30, 200, 30), (30, 30, 200)]
    image, _ = decode(several(colours, primary), LIMIT)
    assert np.abs(image.astype(int) - colours[primary][::-1]).max() <= 4


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"])
def test_every_brand_is_known_by_its_content(brand):
    data = heic()
    assert sniff(data[:8] + brand + data[12:]) == "HEIC"
    assert sniff(data[:8] + b"ABCD" + data[12:]) == "HEIC"  # by a compatible brand


def test_mif1_with_av1_in_it_is_avif():
    data = pictures.encoded("AVIF")
    changed = data[:8] + b"mif1" + data[12:]
    assert sniff(changed) == "AVIF"
    assert np.array_equal(decode(changed, LIMIT)[0], decode(data, LIMIT)[0])


def test_max_pixels_is_checked_by_the_header():
    assert decode(heic(), 64 * 48)[0].shape == (48, 64, 3)
    assert failure(heic(), 64 * 48 - 1).code is ItemCode.TOO_LARGE
    error = failure(with_size(heic(), 50_000, 50_000))
    assert error.code is ItemCode.TOO_LARGE and "50000 x 50000" in str(error)


def test_a_large_picture_behind_a_small_crop_or_a_small_size_is_too_large():
    lying = with_size(heic(noise(640, 480)), 64, 48)
    error = failure(lying, 64 * 48)
    assert error.code is ItemCode.TOO_LARGE and "640x480" in str(error)

    cropped = with_crop(heic(noise(319, 239)), 64, 48)
    image, header = decode(cropped, 320 * 240)
    assert image.shape == (48, 64, 3) and (header.width, header.height) == (64, 48)
    error = failure(cropped, 64 * 48)
    assert error.code is ItemCode.TOO_LARGE and "parts of 320 x 240" in str(error)


def test_a_grid_that_says_another_size_in_its_data_takes_no_memory():
    data = heic(tile_size=16)
    grid = bytes([0, 0, 2, 3, 0, 64, 0, 48])
    assert data.count(grid) == 1
    error = failure(data.replace(grid, grid[:4] + b"\x7f\xff\x7f\xff"))
    assert error.code is ItemCode.CORRUPT and "two sizes" in str(error)


@pytest.mark.parametrize("options", [{}, {"tile_size": 16}])
def test_a_cut_file_is_truncated_and_one_with_rubbish_is_not(options):
    data = heic(**options)
    codes = {failure(data[:kept]).code for kept in (*range(40, len(data), 37), len(data) - 1)}
    assert codes == {ItemCode.TRUNCATED}
    assert np.array_equal(decode(data + b"rubbish" * 99, LIMIT)[0], decode(data, LIMIT)[0])


def test_zeros_in_place_of_the_last_pixels_are_truncated():
    for data in (heic(noise()), heic(noise(), tile_size=16)):
        for lost in (1, 5, 700):
            assert failure(data[:-lost] + bytes(lost)).code is ItemCode.TRUNCATED


def test_a_damaged_file_is_corrupt():
    data = heic()
    assert failure(data.replace(b"pitm\0\0\0\0\0\1", b"pitm\0\0\0\0\0\x63")).code is ItemCode.CORRUPT
    assert failure(data.replace(b"iinf", b"iinX")).code is ItemCode.CORRUPT
    coded = len(data) - data.index(b"mdat") - 4
    assert failure(data[:-coded] + b"\xff" * coded).code is ItemCode.CORRUPT


@pytest.mark.parametrize("kind", [b"jpeg", b"av01", b"unci", b"j2k1"])
def test_other_codecs_in_the_same_box_are_named(kind):
    error = failure(heic().replace(b"hvc1", kind))
    assert error.code is ItemCode.UNSUPPORTED and kind.decode() in str(error)


def test_a_sequence_without_a_still_picture_is_named():
    error = failure(b"\0\0\0\x18ftypmsf1\0\0\0\0msf1hevc" + b"\0\0\0\x10moov" + bytes(8))
    assert error.code is ItemCode.UNSUPPORTED and "sequence" in str(error)


def test_a_primary_picture_that_belongs_to_another_is_not_exchanged_for_that():
    # pillow-heif lists no thumbnails, and would show the first picture of its list.
    data = several([(200, 30, 30), (30, 200, 30)], 1)
    meta = data.index(b"meta") - 4
    iref = struct.pack(">I4sI", 12 + 14, b"iref", 0) + struct.pack(">I4s3H", 14, b"thmb", 2, 1, 1)
    end = meta + int.from_bytes(data[meta : meta + 4])
    iloc = data.index(b"iloc") + 12  # of each item: number, file, base, extents, place, length
    places = [
        (*fields[:4], fields[4] + len(iref), fields[5])
        for fields in struct.iter_unpack(">HHIHII", data[iloc : iloc + 2 * 18])
    ]
    head = (end - meta + len(iref)).to_bytes(4) + data[meta + 4 : iloc]
    moved = b"".join(struct.pack(">HHIHII", *fields) for fields in places)
    error = failure(data[:meta] + head + moved + data[iloc + 2 * 18 : end] + iref + data[end:])
    assert error.code is ItemCode.UNSUPPORTED and "primary" in str(error)


def test_the_same_bytes_every_time_and_no_thread_is_left():
    data = heic(noise(200, 160), tile_size=64)
    first, before = decode(data, LIMIT)[0], threading.active_count()
    assert all(np.array_equal(decode(data, LIMIT)[0], first) for _ in range(5))
    assert threading.active_count() == before


@pytest.mark.real
@pytest.mark.skipif(not SHARED.is_dir(), reason="no shared data beside the checkout")
@pytest.mark.parametrize("options", [{}, {"tile_size": 256}, {"chroma": 420}])
def test_photographs_coded_and_decoded_are_the_photographs(options):
    for path in sorted((SHARED / "data" / "coco-val100").rglob("*.jpg"))[:40:8]:
        photograph = np.asarray(pictures.Image.open(path).convert("RGB"))
        image, _ = decode(heic(photograph, **options), LIMIT)
        error = np.mean((image.astype(float) - pictures.bgr(photograph)) ** 2)
        assert 10 * np.log10(255**2 / error) > 33, path  # dB; 4:2:0 takes some


def test_nothing_of_it_is_loaded_before_it_is_needed():
    program = "import sys, common.images.decode; print('pi_heif' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "False\n"
    )


@pytest.mark.parametrize("kind", [b"heic", b"avif"])
def test_extents_that_take_no_bytes_take_no_time(kind):
    # 16,383 items of 65,535 extents each, in 100 KB: a thousand million of them.
    data = bytearray(heic())
    at = data.index(b"iloc")
    items = b"".join(struct.pack(">3H", 1, 0, 65535) for _ in range(16_383))
    lying = b"iloc" + bytes(6) + struct.pack(">H", 16_383) + items
    lying = struct.pack(">I", len(lying) + 4) + lying
    meta = data.index(b"meta") - 4
    size = int.from_bytes(data[meta : meta + 4]) + len(lying)
    # The first list of places counts.
    data[meta : at - 4] = size.to_bytes(4) + data[meta + 4 : at - 4] + lying
    started = time.process_time()

    failure(bytes(data.replace(b"heic", kind)))

    assert time.process_time() - started < 5


@pytest.mark.parametrize("name", [b"iloc", b"iref", b"iinf"])
def test_a_list_longer_than_any_picture_needs_is_corrupt(name):
    data = bytearray(heic())
    meta = data.index(b"meta") - 4
    size = int.from_bytes(data[meta : meta + 4])
    filling = struct.pack(">I", (2 << 20) + 8) + name + bytes(2 << 20)
    data[meta : meta + 12] = struct.pack(">I", size + len(filling)) + data[meta + 4 : meta + 12] + filling

    assert failure(bytes(data)).code is ItemCode.CORRUPT
    with pytest.raises(heif_boxes.BoxError, match="too many items"):
        heif_boxes.read_picture(bytes(data))
