"""TIFFs that people bring: cameras, scanners, satellites, and files that were cut or lie about their size."""

from __future__ import annotations

import io
import resource
import struct
import subprocess
import sys
from typing import Any

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from common.errors import ItemCode, ItemError
from common.images.decode import decode, read_header
from common.images.scale import Scale
from tests.unit import pictures

LIMIT = 1_000_000
NOISE = np.random.default_rng(5).integers(0, 256, (21, 37, 4), np.uint8)
RGB = NOISE[..., :3]
SMOOTH = np.ascontiguousarray(
    np.moveaxis(np.indices((48, 64)).sum(0) * np.array([[[1]], [[2]], [[0.5]]]), 0, -1)
).astype(np.uint8)


def tiff(array: pictures.Pixels, **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, array, metadata=None, **options)
    return file.getvalue()


def rgb_of(data: bytes, scale: Scale | None = None, limit: int = LIMIT) -> pictures.Pixels:
    """The decoded picture in RGB; the same twice."""
    first, again = (decode(data, limit, scale)[0] for _ in range(2))
    assert np.array_equal(first, again)
    return pictures.bgr(first)


def refused(data: bytes, code: ItemCode = ItemCode.UNSUPPORTED, limit: int = LIMIT) -> str:
    with pytest.raises(ItemError) as caught:
        decode(data, limit)
    assert caught.value.code is code, str(caught.value)
    return str(caught.value)


def patched(data: bytes, changes: dict[int, int]) -> bytes:
    """Values that stand in the first directory itself, by tag. Little-endian, classic TIFF."""
    changed = bytearray(data)
    at: int = struct.unpack_from("<I", data, 4)[0]
    for entry in range(at + 2, at + 2 + 12 * struct.unpack_from("<H", data, at)[0], 12):
        tag, kind = struct.unpack_from("<HH", data, entry)
        if tag in changes:
            struct.pack_into("<H" if kind == 3 else "<I", changed, entry + 8, changes.pop(tag))
    assert not changes
    return bytes(changed)


def tagged(tag: int, value: int, array: pictures.Pixels, **options: Any) -> bytes:
    """With a tag that tifffile keeps for itself: another's number is changed to it."""
    data = tiff(array, extratags=[(65_001, 3, 1, value, True)], **options)
    assert data.count(struct.pack("<HHI", 65_001, 3, 1)) == 1
    return data.replace(struct.pack("<HHI", 65_001, 3, 1), struct.pack("<HHI", tag, 3, 1))


@pytest.mark.parametrize("bits", range(1, 17))
def test_any_number_of_bits_maps_its_whole_range(bits):
    top = (1 << bits) - 1
    values = np.arange(40 * 8).reshape(8, 40) % (top + 1)
    values[0, 0] = top
    values = values.astype(np.uint8 if bits <= 8 else np.uint16)
    grey = rgb_of(tiff(values, bitspersample=bits, photometric="minisblack"))[..., 0]

    assert grey[0, 0] == 255 and grey[0, 39 if bits > 1 else 1] <= 255
    if bits > 8:
        assert np.array_equal(grey, values >> (bits - 8))
    else:
        assert np.array_equal(grey, np.floor(values.astype(int) * 255 / top + 0.5))


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("order", "<>")
def test_bigtiff_and_byte_orders(bigtiff, order):
    assert np.array_equal(rgb_of(tiff(RGB, bigtiff=bigtiff, byteorder=order, photometric="rgb")), RGB)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    "options", [{"compression": "zstd"}, {"compression": "lzw"}, {"planarconfig": "separate"}, {"tile": (16, 16)}]
)
def test_every_orientation_of_every_storage(orientation, options):
    turned = {
        1: RGB,
        2: RGB[:, ::-1],
        3: RGB[::-1, ::-1],
        4: RGB[::-1],
        5: RGB.transpose(1, 0, 2),
        6: np.rot90(RGB, -1),
        7: np.rot90(RGB, 2).transpose(1, 0, 2),
        8: np.rot90(RGB),
    }[orientation]
    stored = np.moveaxis(RGB, -1, 0) if "planarconfig" in options else RGB
    data = tiff(stored, photometric="rgb", extratags=[(274, 3, 1, orientation, True)], **options)

    assert np.array_equal(rgb_of(data), turned)
    header = read_header(data)
    assert (header.height, header.width, header.exif_orientation) == (*turned.shape[:2], orientation)


@pytest.mark.parametrize("bands", [3, 4])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_colours_that_are_called_black_is_zero(bands, kind, planar):
    """GDAL writes RGB so where it isn't told that it is."""
    pixels = NOISE[..., :bands].astype(kind) * (256 if kind is np.uint16 else 1)
    stored = pixels if planar == "contig" else np.moveaxis(pixels, -1, 0)

    assert np.array_equal(rgb_of(tiff(stored, photometric="minisblack", planarconfig=planar)), RGB)


@pytest.mark.parametrize("extra", ["unspecified", "assocalpha", "unassalpha"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("compression", [None, "lzw", "zlib"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_alpha_is_dropped(extra, planar, compression, kind):
    pixels = NOISE.astype(kind) * (256 if kind is np.uint16 else 1)
    stored = pixels if planar == "contig" else np.moveaxis(pixels, -1, 0)
    options = {"photometric": "rgb", "extrasamples": [extra], "planarconfig": planar, "compression": compression}

    assert np.array_equal(rgb_of(tiff(stored, **options)), RGB)


@pytest.mark.parametrize("predictor", [False, True])
@pytest.mark.parametrize("compression", ["lzw", "zlib", "packbits", "zstd", "lzma"])
def test_a_last_strip_that_is_filled_up(compression, predictor):
    if predictor and compression == "packbits":
        return
    data = tiff(RGB, photometric="rgb", compression=compression, predictor=predictor, rowsperstrip=7)

    assert np.array_equal(rgb_of(patched(data, {257: 19})), RGB[:19])


def test_a_second_band_is_dropped_only_where_it_is_alpha():
    two = NOISE[..., :2]
    options = {"photometric": "minisblack", "planarconfig": "contig"}

    assert np.array_equal(rgb_of(tiff(two, extrasamples=["unassalpha"], **options))[..., 0], two[..., 0])
    assert "2 bands of 8 bits" in refused(tiff(two, extrasamples=["unspecified"], **options))


@pytest.mark.parametrize("bands", [5, 7, 13])
def test_more_bands_are_refused_with_their_number(bands):
    pixels = np.zeros((8, 9, bands), np.uint16)
    for photometric in ("minisblack", "rgb"):
        words = refused(tiff(pixels, photometric=photometric, planarconfig="contig"))
        assert f"{bands} bands of 16 bits" in words


def test_bits_stored_from_the_lowest():
    bits = NOISE[..., 0] > 127
    data = bytearray(tagged(266, 2, bits, photometric="minisblack"))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[0]
        start, count = page.dataoffsets[0], page.databytecounts[0]
    data[start : start + count] = imagecodecs.bitorder_decode(bytes(data[start : start + count]))

    assert np.array_equal(rgb_of(bytes(data))[..., 0], bits * 255)


@pytest.mark.parametrize("compression", ["group3", "group4", "tiff_ccitt"])
def test_faxes(compression):
    grey = np.indices((40, 64)).sum(0) % 23 < 9
    file = io.BytesIO()
    Image.fromarray(grey).save(file, "TIFF", compression=compression)

    assert np.array_equal(rgb_of(file.getvalue())[..., 0], grey * 255)


@pytest.mark.parametrize("subsampling", [(1, 1), (2, 1), (2, 2)])
@pytest.mark.parametrize("tiled", [False, True])
def test_jpeg_inside_is_what_opencv_makes_of_it(subsampling, tiled):
    options = {"tile": (16, 32)} if tiled else {"rowsperstrip": 16}
    data = tiff(SMOOTH, photometric="rgb", compression="jpeg", subsampling=subsampling, **options)
    theirs = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)

    assert np.array_equal(rgb_of(data), pictures.bgr(theirs))
    assert np.abs(rgb_of(data).astype(int) - SMOOTH).mean() < 3


def test_jpeg_planes_and_inks():
    planes = tiff(np.moveaxis(SMOOTH, -1, 0), photometric="rgb", planarconfig="separate", compression="jpeg")
    assert np.abs(rgb_of(planes).astype(int) - SMOOTH).mean() < 2

    inks = np.dstack([255 - SMOOTH, np.zeros((48, 64), np.uint8)])
    data = tiff(inks, photometric="separated", compression="jpeg")
    assert np.abs(rgb_of(data).astype(int) - SMOOTH).mean() < 3


def test_jpeg_of_grey_planes_without_a_word_about_colour_is_refused():
    """libjpeg would take them for YCbCr."""
    assert "BlackIsZero, JPEG" in refused(
        tiff(SMOOTH, photometric="minisblack", planarconfig="contig", compression="jpeg")
    )


@pytest.mark.parametrize(("across", "down"), [(1, 1), (2, 1), (2, 2), (4, 2)])
@pytest.mark.parametrize("compressed", [False, True])
def test_shared_chroma_without_jpeg_is_what_opencv_makes_of_it(across, down, compressed):
    """libtiff is the oracle: few others read it. It rounds by tables."""
    ycc = cv2.cvtColor(SMOOTH, cv2.COLOR_RGB2YCrCb)[..., (0, 2, 1)]
    luma = (
        ycc[..., 0].reshape(48 // down, down, 64 // across, across).swapaxes(1, 2).reshape(48 // down, 64 // across, -1)
    )
    raw = np.dstack([luma, ycc[::down, ::across, 1:]]).tobytes()
    raw = imagecodecs.deflate_encode(raw) if compressed else raw
    data = pictures.tiff(SMOOTH)
    data = patched(data, {262: 6, 259: 8 if compressed else 1, 279: len(raw)})
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        start = file.pages[0].dataoffsets[0]
    # The tag of the subsampling takes the place of that of the sample format, which says nothing new.
    data = data[:start] + raw
    entry = data.index(struct.pack("<HHI", 339, 3, 3))
    data = data[:entry] + struct.pack("<HHIHH", 530, 3, 2, across, down) + data[entry + 12 :]
    theirs = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)

    assert np.abs(rgb_of(data).astype(int) - pictures.bgr(theirs)).max() <= 2


def test_lab_is_what_little_cms_makes_of_it():
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB", 5000)
    lab = ImageCms.applyTransform(Image.fromarray(SMOOTH), ImageCms.buildTransform(*profiles, "RGB", "LAB"))
    file = io.BytesIO()
    lab.save(file, "TIFF")

    assert np.abs(rgb_of(file.getvalue()).astype(int) - SMOOTH).mean() < 3


def test_palettes_of_8_and_16_bits():
    table = np.random.default_rng(2).integers(0, 65536, (3, 256), np.uint16)
    wanted = (table.T[NOISE[..., 0]] >> 8).astype(np.uint8)

    assert np.array_equal(rgb_of(tiff(NOISE[..., 0], photometric="palette", colormap=table)), wanted)
    assert np.array_equal(rgb_of(tiff(NOISE[..., 0], photometric="palette", colormap=table >> 8)), wanted)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_palettes_of_few_colours(bits):
    index = NOISE[..., 0] % (1 << bits)
    table = np.random.default_rng(2).integers(0, 65536, (3, 1 << bits), np.uint16)
    tag = (320, 3, table.size, table.ravel().tolist(), True)
    data = tiff(index, bitspersample=bits, photometric="minisblack", extratags=[tag])

    assert np.array_equal(rgb_of(patched(data, {262: 3})), (table.T[index] >> 8).astype(np.uint8))
    with_other = patched(data, {262: 3, 258: 8 if bits < 4 else 2})
    assert "palette" in refused(with_other)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({262: 4}, "a transparency mask"),
        ({262: 9}, "ICCLab"),
        ({262: 32803}, "colour filter array"),
        ({262: 32844}, "LogL"),
        ({262: 34892}, "linear raw"),
        ({262: 77}, "photometric 77"),
        ({259: 6}, "old-style JPEG"),
        ({259: 34676}, "compression 34676"),
        ({259: 50002}, "JPEG XL"),
        ({259: 77}, "compression 77"),
    ],
)
def test_what_is_not_decoded_is_named(changes, words):
    text = refused(patched(pictures.tiff(NOISE[..., 0]), changes))

    assert words in text and "1 band of 8 bits" in text


@pytest.mark.parametrize("compression", [None, "packbits"])
def test_a_predictor_that_readers_disagree_about_is_refused(compression):
    assert "predictor 2" in refused(tagged(317, 2, RGB, photometric="rgb", compression=compression))


def test_complex_numbers_and_mixed_depths_are_refused_by_name():
    assert "complex" in refused(tiff(NOISE[..., 0].astype(np.complex64), photometric="minisblack"))
    data = pictures.tiff(RGB)
    at = data.index(struct.pack("<3H", 8, 8, 8))
    assert "several depths" in refused(data[:at] + struct.pack("<3H", 5, 6, 5) + data[at + 6 :])


def test_a_cameras_small_copy_is_not_taken_for_its_picture():
    with io.BytesIO() as file:
        with tifffile.TiffWriter(file) as writer:
            writer.write(RGB, photometric="rgb", subfiletype=1, metadata=None)
            writer.write(np.zeros((99, 99), np.uint16), photometric="cfa", metadata=None)
        assert "small copy" in refused(file.getvalue())


def test_the_first_of_several_pages_is_taken():
    with io.BytesIO() as file:
        with tifffile.TiffWriter(file) as writer:
            writer.write(RGB, photometric="rgb", metadata=None)
            writer.write(RGB[:9, :9], photometric="rgb", subfiletype=1, metadata=None)
        assert np.array_equal(rgb_of(file.getvalue()), RGB)


@pytest.mark.parametrize("packing", ["deflate", "zstd"])
def test_lerc_packed_once_more(packing):
    data = tiff(RGB, photometric="rgb", compression="lerc", compressionargs={"compression": packing})

    assert np.array_equal(rgb_of(data), RGB)


def test_what_is_called_lerc_and_is_not_is_refused_by_name():
    assert "LERC" in refused(patched(pictures.tiff(RGB), {259: 34887}))


def test_pieces_that_are_not_in_the_file_are_refused():
    data = tiff(RGB, photometric="rgb", rowsperstrip=8, compression="zlib")
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        tag = file.pages[0].tags[273]
    at = tag.valueoffset
    assert "without the data of 1 of its 3" in refused(data[:at] + bytes(4) + data[at + 4 :])


@pytest.mark.parametrize("compression", [None, "lzw", "zlib", "packbits", "zstd", "lzma", "lerc", "jpeg", "webp"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_cut_file_is_truncated(compression, share):
    data = tiff(RGB, photometric="rgb", compression=compression, rowsperstrip=8)

    refused(pictures.cut(data, share), ItemCode.TRUNCATED)


@pytest.mark.parametrize("compression", ["lzw", "zlib", "lzma", "lerc"])
def test_damage_inside_a_strip_is_corrupt(compression):
    data = bytearray(tiff(RGB, photometric="rgb", compression=compression, rowsperstrip=8))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[0]
        start, count = page.dataoffsets[1], page.databytecounts[1]
    data[start + count // 4 : start + count] = bytes(count - count // 4)

    refused(bytes(data), ItemCode.CORRUPT)


def test_a_tile_that_claims_gigabytes_takes_no_memory():
    data = tiff(RGB, photometric="rgb", tile=(16, 16), compression="zlib")
    assert "its tiles take" in refused(patched(data, {322: 1 << 20, 323: 1 << 20}), ItemCode.TOO_LARGE)


@pytest.mark.parametrize("compression", ["jpeg", "webp", "jpeg2000", "lerc"])
def test_a_picture_inside_that_is_larger_than_the_page_is_corrupt(compression):
    """It would be decoded as large as it says itself."""
    data = tiff(np.zeros((640, 640, 3), np.uint8), photometric="rgb", compression=compression, rowsperstrip=640)

    refused(patched(data, {256: 64, 257: 64, 278: 64}), ItemCode.CORRUPT)


def test_a_bomb_of_strips_is_refused_before_it_is_decoded():
    data = tiff(np.zeros((5000, 5000), np.uint8), photometric="minisblack", compression="zlib", rowsperstrip=5000)

    assert "5000 x 5000" in refused(data, ItemCode.TOO_LARGE)
    # What is inside may be more than the page says: it is not decompressed to its end.
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(patched(data, {256: 8, 257: 8, 278: 8}), ItemCode.CORRUPT)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8_000


def test_the_readers_are_loaded_for_the_first_tiff_only():
    program = """
import sys
from tests.unit import pictures
from common.images.decode import decode
decode(pictures.jpeg(), 10**9)
print(any(name.partition(".")[0] in ("tifffile", "imagecodecs") for name in sys.modules))
decode(pictures.tiff(pictures.scene()), 10**9)
print("tifffile" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
