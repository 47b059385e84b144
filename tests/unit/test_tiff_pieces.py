"""Strips and tiles of TIFFs that break off, hide their size, or come by the hundred thousand."""

from __future__ import annotations

import io
import resource
import struct

import imagecodecs
import numpy as np
import pytest
import simplejpeg
import tifffile

from common.errors import ItemCode
from tests.unit import pictures
from tests.unit.test_tiff_kinds import SMOOTH, patched, refused, rgb_of, tiff


def first_piece(data: bytes) -> slice:
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[0]
        return slice(page.dataoffsets[0], page.dataoffsets[0] + page.databytecounts[0])


JPEG_STORED = [
    {"photometric": "rgb"},
    {"photometric": "ycbcr"},
    {"photometric": "ycbcr", "tile": (128, 128)},
    {"photometric": "rgb", "planarconfig": "separate"},
]


@pytest.mark.parametrize("filling", [b"\0", b"\x55", b"\xff"])
@pytest.mark.parametrize("options", JPEG_STORED, ids=lambda options: " ".join(map(str, options.values())))
def test_jpeg_data_that_break_off_are_not_filled_up_with_grey(options, filling):
    noise = np.random.default_rng(1).integers(0, 256, (96, 128, 3), np.uint8)
    stored = np.moveaxis(noise, -1, 0) if "planarconfig" in options else noise
    data = bytearray(tiff(stored, compression="jpeg", **options))
    place = first_piece(bytes(data))
    rgb_of(bytes(data))
    half = (place.start + place.stop) // 2

    data[half : place.stop] = filling * (place.stop - half)
    refused(bytes(data), ItemCode.TRUNCATED)
    data[place.stop - 2 : place.stop] = b"\xff\xd9"
    refused(bytes(data), ItemCode.CORRUPT)


@pytest.mark.parametrize("end", [b"", b"\xff\xd9\0", b"\xff\xd9" + bytes(50), b"\xff\xff\xd9"])
def test_jpeg_data_are_whole_with_any_end(end):
    data = tiff(SMOOTH, photometric="ycbcr", compression="jpeg", rowsperstrip=48)
    place = first_piece(data)
    whole = rgb_of(data)
    assert place.stop == len(data) and data.endswith(b"\xff\xd9")

    other = data[:-2] + end
    assert np.array_equal(rgb_of(patched(other, {279: len(other) - place.start})), whole)


def with_tables() -> bytes:
    """As libtiff writes it: what the strips share is in a tag."""
    noise = np.random.default_rng(1).integers(0, 256, (96, 128, 3), np.uint8)
    return pictures.encoded("TIFF", noise, compression="jpeg")


def test_jpeg_data_with_shared_tables_that_break_off_are_not_filled_up_with_grey():
    data = bytearray(with_tables())
    place = first_piece(bytes(data))
    rgb_of(bytes(data))
    data[(place.start + place.stop) // 2 : place.stop] = bytes(place.stop - (place.start + place.stop) // 2)

    refused(bytes(data), ItemCode.TRUNCATED)


def test_tables_that_bring_a_frame_of_their_own_are_not_decoded(monkeypatch):
    """Its size would be that of the picture, and is checked against nothing."""
    data = with_tables()
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        entry = file.pages[0].tags[347].offset
    frame = imagecodecs.jpeg8_encode(SMOOTH)
    monkeypatch.setattr(simplejpeg, "decode_jpeg", lambda *_, **__: pytest.fail("it was decoded"))

    refused(
        data[: entry + 4] + struct.pack("<2I", len(frame), len(data)) + data[entry + 12 :] + frame, ItemCode.CORRUPT
    )


def test_another_codestream_before_that_of_a_jpeg_2000_piece_does_not_hide_its_size():
    small = imagecodecs.jpeg2k_encode(np.zeros((16, 16), np.uint8), level=0, codecformat="j2k")
    large = imagecodecs.jpeg2k_encode(np.zeros((3000, 3000), np.uint8), level=0, codecformat="jp2")
    at = large.index(b"jp2c") - 4
    piece = large[:at] + struct.pack(">I", 24 + len(small)) + b"uuid" + bytes(16) + small + large[at:]
    data = tiff(np.zeros((16, 16), np.uint8), photometric="minisblack", compression="jpeg2000", rowsperstrip=16)
    place = first_piece(data)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    refused(patched(data[: place.start] + piece, {279: len(piece)}), ItemCode.CORRUPT)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8_000


def pieces_of(shape: tuple[int, int], size: tuple[int, int] | None) -> bytes:
    """Zeros in tiles (height, width) or strips of one row, which all lie in the same place."""
    across, down = (-(-shape[1] // size[1]), -(-shape[0] // size[0])) if size else (1, shape[0])
    count, length = across * down, size[0] * size[1] if size else shape[1]
    sides = [(322, 3, 1, size[1]), (323, 3, 1, size[0])] if size else [(278, 3, 1, 1)]
    places = (324, 325) if size else (273, 279)
    tags = [(256, 4, 1, shape[1]), (257, 4, 1, shape[0]), (258, 3, 1, 8), (259, 3, 1, 32773), (262, 3, 1, 1), *sides]
    packed = bytes(imagecodecs.packbits_encode(bytes(length)))
    start = 8 + 2 + 12 * (len(tags) + 2) + 4
    lists = [(places[0], 4, count, start), (places[1], 4, count, start + 4 * count)]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in sorted([*tags, *lists]))
    head = b"II*\0" + struct.pack("<IH", 8, len(tags) + 2) + entries + bytes(4)
    offsets = struct.pack("<I", start + 8 * count) * count
    return head + offsets + struct.pack("<I", len(packed)) * count + packed


def test_hundreds_of_thousands_of_tiny_pieces_are_refused_by_their_number():
    assert "250000 tiles of 1 x 1 pixels" in refused(pieces_of((500, 500), (1, 1)))
    assert "65537 strips of 3 x 1 pixels" in refused(pieces_of((65_537, 3), None))


@pytest.mark.parametrize(("shape", "size"), [((64, 64), (1, 1)), ((9000, 3), None), ((1030, 1040), (16, 16))])
def test_small_pieces_are_decoded(shape, size):
    assert rgb_of(pieces_of(shape, size), limit=2_000_000).shape == (*shape, 3)
