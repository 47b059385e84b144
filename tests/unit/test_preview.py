"""The contact sheet: which images it shows, that boxes lie where they were found, and that nothing stops it."""

from __future__ import annotations

import io
import os
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from common.errors import ItemCode
from common.images.scale import Scale
from jobs.detect.reports import contact_sheet
from jobs.detect.reports.preview import write_preview
from jobs.detect.tables.parquet import ItemRow
from tests.unit import heic_files, pictures
from tests.unit.tabled import failed, ok, pending, run, spec

#: Where the first tile's picture area begins on the sheet.
LEFT, TOP = contact_sheet.MARGIN, contact_sheet.MARGIN + contact_sheet.HEADING


def photo(folder: Path, name: bytes, width: int = 200, height: int = 150, shade: int = 128) -> None:
    path = folder / os.fsdecode(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), (shade, shade, shade)).save(path)


def drawn(run_dir: Path, images: Path) -> Image.Image:
    path = write_preview(run_dir, spec(), os.fsencode(images))
    assert path == run_dir / "preview.jpg"
    with Image.open(path) as picture:
        return picture.convert("RGB")


def tiles(run_dir: Path, images: Path, monkeypatch: pytest.MonkeyPatch) -> list[contact_sheet.Tile]:
    """What the sheet was asked to draw."""
    asked: list[contact_sheet.Tile] = []
    draw = contact_sheet.draw

    def seen(heading: contact_sheet.Heading, shown: list[contact_sheet.Tile]) -> Image.Image:
        asked.extend(shown)
        return draw(heading, shown)

    monkeypatch.setattr(contact_sheet, "draw", seen)
    drawn(run_dir, images)
    return asked


def near(colour: object, expected: tuple[int, ...], tolerance: int = 24) -> bool:
    return bool(np.abs(np.subtract(colour, expected)).max() <= tolerance)


def test_twelve_images_with_detections_from_all_over_the_dataset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = []
    for item in range(60):
        name = b"d/%02d.png" % item
        photo(tmp_path / "images", name)
        rows.append(ok(item, name, (0, 0.5, 5, 5, 50, 50)) if item % 2 else ok(item, name))
    run(tmp_path / "run", rows)
    shown = [int(tile.name[:2]) for tile in tiles(tmp_path / "run", tmp_path / "images", monkeypatch)]
    assert len(shown) == 12 and shown == sorted(shown) and all(item % 2 for item in shown)
    assert max(np.diff([0, *shown, 60])) < 12, "spread over the dataset"


def test_those_with_detections_come_before_those_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = []
    for item in range(30):
        name = b"%02d.png" % item
        photo(tmp_path / "images", name)
        rows.append(ok(item, name, *[(0, 0.5, 5, 5, 50, 50)] * (item >= 20)))
    run(tmp_path / "run", rows)
    counts = [len(tile.boxes) for tile in tiles(tmp_path / "run", tmp_path / "images", monkeypatch)]
    assert counts == [0, 0] + [1] * 10, "all ten, and two to fill the sheet, in the dataset's order"


def test_gone_broken_and_failed_images_are_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = tmp_path / "images"
    for name in (b"a.png", b"d.png", b"e\xff.png", b"huge.png"):
        photo(images, name)
    (images / "broken.png").write_bytes(pictures.png()[:60])
    found = (0, 0.9, 5, 5, 50, 50)
    rows = [
        ok(0, b"a.png"),
        ok(1, b"broken.png", found),
        ok(2, b"gone.png", found),
        failed(3, b"d.png", ItemCode.CORRUPT),
        ok(4, b"e\xff.png", found),
        ok(5, b"huge.png", found, size=(30_000, 30_000)),
        pending(6, b"a.png"),
    ]
    run(tmp_path / "run", rows)
    shown = tiles(tmp_path / "run", images, monkeypatch)
    assert [(tile.name, len(tile.boxes)) for tile in shown] == [("a.png", 0), ("e\\xff.png", 1)]


@pytest.mark.parametrize("rows", [[], [failed(0, b"a.jpg")], [pending(0, b"a.jpg")]])
def test_a_run_with_nothing_to_show_has_a_sheet_too(tmp_path: Path, rows: list[ItemRow]) -> None:
    run(tmp_path / "run", rows)
    assert (
        drawn(tmp_path / "run", tmp_path).width
        == 2 * contact_sheet.MARGIN + 2 * contact_sheet.WIDTH + contact_sheet.GAP
    )


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    photo(tmp_path, b"a.png")
    run(tmp_path / "run", [ok(0, b"a.png", (0, 0.9, 5, 5, 50, 50))])
    first = write_preview(tmp_path / "run", spec(), os.fsencode(tmp_path)).read_bytes()
    assert write_preview(tmp_path / "run", spec(), os.fsencode(tmp_path)).read_bytes() == first


def test_a_box_is_scaled_into_an_undistorted_picture(tmp_path: Path) -> None:
    photo(tmp_path, b"wide.png", 800, 300, shade=60)
    run(tmp_path / "run", [ok(0, b"wide.png", (1, 0.9, 200, 100, 600, 200), size=(800, 300))])
    sheet_ = drawn(tmp_path / "run", tmp_path)
    # 800 x 300 fits 400 x 150, in the middle of 300 rows: box 100..300, 50..100.
    top = TOP + 75
    at = {point: sheet_.getpixel((LEFT + point[0], top + point[1])) for point in [(100, 75), (299, 75), (200, 99)]}
    assert all(near(colour, (0, 145, 255), 60) for colour in at.values()), at
    assert near(sheet_.getpixel((LEFT + 200, top + 75)), (60, 60, 60)), "a box is not filled"
    assert near(sheet_.getpixel((LEFT + 200, TOP + 40)), (233, 234, 232)), "the mat is above the picture"


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "HEIC"])
def test_a_turned_photograph_is_shown_upright(kind: str, orientation: int) -> None:
    turned = pictures.rotated("JPEG", orientation, quality=95) if kind == "JPEG" else heic_files.rotated(orientation)
    picture = contact_sheet.load(turned)
    assert picture is not None and (picture.size, picture.image.size) == ((64, 48), (400, 300))
    pixels = [picture.image.getpixel(point) for point in ((50, 50), (50, 250), (380, 20))]
    assert [int(np.argmax(pixel)) for pixel in pixels] == [0, 1, 2], "red and green left, blue top right"


@pytest.mark.parametrize(
    ("kind", "mode"), [("PNG", "I;16"), ("PNG", "P"), ("PNG", "LA"), ("JPEG", "CMYK"), ("GIF", "L")]
)
def test_every_kind_of_pixel_can_be_shown(tmp_path: Path, kind: str, mode: str) -> None:
    grey = Image.new("L", (40, 30), 128)
    wide = Image.fromarray(np.full((30, 40), 128 * 257, np.uint16))
    path = tmp_path / "a"
    (wide if mode == "I;16" else grey.convert("RGB").convert(mode)).save(path, kind)
    picture = contact_sheet.load(path.read_bytes())
    assert picture is not None and near(picture.image.getpixel((200, 150)), (128, 128, 128), 4)


def dim(kind: str) -> bytes:
    """A picture of 16 bits a channel whose values end at 4,000: black on top, white below."""
    values = np.zeros((30, 40, 3), np.uint16)
    values[15:] = 4000
    match kind:
        case "TIFF":
            return pictures.tiff(values, orientation=1)
        case "PPM":
            return b"P6\n40 30\n65535\n" + values.astype(">u2").tobytes()
        case "PNG":
            return pictures.deep_png(values)
    return bytes(imagecodecs.jpeg2k_encode(values, level=0, reversible=True))


@pytest.mark.parametrize("kind", ["TIFF", "PPM", "PNG", "JPEG 2000"])
def test_deep_images_are_shown_as_their_scale_maps_them(kind: str) -> None:
    for scale, white in ((None, 15), (Scale(0, 4000), 255), (Scale(0, 8000), 127)):
        picture = contact_sheet.load(dim(kind), scale)
        assert picture is not None
        assert near(picture.image.getpixel((200, 280)), (white, white, white), 2), scale
        assert near(picture.image.getpixel((200, 20)), (0, 0, 0), 2)


@pytest.mark.parametrize("kind", ["HEIC", "AVIF"])
def test_deep_pictures_of_boxes_are_shown_in_their_whole_range(kind: str) -> None:
    values = np.zeros((48, 64, 3), np.uint16)
    values[24:] = 8000
    if kind == "HEIC":
        data = heic_files.heic(values, "RGB;16")
    else:
        data = cv2.imencode(".avif", values >> 6, [cv2.IMWRITE_AVIF_DEPTH, 10])[1].tobytes()
    for scale in (None, Scale(0, 100)):
        picture = contact_sheet.load(data, scale)
        assert picture is not None
        assert near(picture.image.getpixel((200, 280)), (31, 31, 31), 4), scale


def test_a_tiff_that_pillow_does_not_read_is_shown_upright() -> None:
    stored = np.moveaxis(np.rot90(pictures.scene()), -1, 0)
    file = io.BytesIO()
    tag = (274, 3, 1, 6, True)
    options = {"planarconfig": "separate", "compression": "zstd", "extratags": [tag], "metadata": None}
    tifffile.imwrite(file, stored, photometric="rgb", **options)
    picture = contact_sheet.load(file.getvalue())
    assert picture is not None and (picture.size, picture.image.size) == ((64, 48), (400, 300))
    pixels = [picture.image.getpixel(point) for point in ((50, 50), (50, 250), (380, 20))]
    assert [int(np.argmax(pixel)) for pixel in pixels] == [0, 1, 2], "red and green left, blue top right"


@pytest.mark.parametrize("edges", [(640, 480, 640, 480), (900, 10, 950, 20), (10, 470, 20, 480), (0, 0, 0, 0)])
def test_a_box_at_or_over_the_edge_is_drawn_at_the_edge(tmp_path: Path, edges: tuple[float, ...]) -> None:
    photo(tmp_path, b"a.png", 200, 150)
    run(tmp_path / "run", [ok(0, b"a.png", (0, 0.9, *edges))])  # type: ignore[arg-type]
    area = np.asarray(drawn(tmp_path / "run", tmp_path))[
        TOP : TOP + contact_sheet.HEIGHT, LEFT : LEFT + contact_sheet.WIDTH
    ]
    assert near(np.median(area.reshape(-1, 3), axis=0), (128, 128, 128), 4)
    assert (np.abs(area.astype(int) - contact_sheet._PALETTE[0]).max(axis=2) < 40).sum() > 200, "its tag is there"


@pytest.mark.parametrize(
    "edges",
    [(0, 0, 10, 10), (390, 0, 400, 5), (0, 290, 10, 300), (395, 295, 400, 300), (0, 0, 400, 300)],
)
def test_a_tag_stays_on_its_picture(edges: tuple[float, float, float, float]) -> None:
    picture = contact_sheet.Picture(Image.new("RGB", (200, 150), (0, 0, 0)), (400, 300))
    box = contact_sheet.Box("a label that is much too long for a picture as small as this", 0, 0.9, edges)
    shown = contact_sheet.draw(contact_sheet.Heading("t", "d", "c"), [contact_sheet.Tile(picture, "n" * 200, (box,))])
    area = np.asarray(shown)[TOP : TOP + contact_sheet.HEIGHT, LEFT : LEFT + contact_sheet.WIDTH]
    inside = np.zeros(area.shape[:2], bool)
    inside[75:225, 100:300] = True
    inside[:9, :], inside[-9:, :] = True, True  # Round corners.
    assert (area[~inside] == (233, 234, 232)).all()
    tag = (area == contact_sheet._PALETTE[0]).all(axis=2)
    assert tag.sum() > 500 and np.ptp(tag.nonzero()[0]) + 1 >= 19


def test_tags_of_close_boxes_do_not_cover_each_other() -> None:
    boxes = [contact_sheet.Box("cat", number, 0.9, (100.0, 100.0, 160.0 + number, 160.0)) for number in range(4)]
    picture = contact_sheet.Picture(Image.new("RGB", (400, 300)), (400, 300))
    shown = np.asarray(
        contact_sheet.draw(contact_sheet.Heading("t", "d", "c"), [contact_sheet.Tile(picture, "n", tuple(boxes))])
    )
    areas = [int((shown == colour).all(axis=2).sum()) for colour in contact_sheet._PALETTE[:4]]
    assert min(areas) > 0.7 * max(areas), areas


def test_names_that_the_font_lacks_are_spelt_in_what_it_has() -> None:
    assert contact_sheet._shown("naïve\n\N{CAMERA}") == "naive??"
