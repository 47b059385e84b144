"""Pictures with boxes and a heading in; one contact sheet out. Drawn with Pillow alone."""

from __future__ import annotations

import io
import unicodedata
import warnings
from dataclasses import dataclass
from functools import cache

from PIL import Image, ImageDraw, ImageFont, ImageOps

from common import images
from common.images import deep
from common.images.depth import to_bytes
from common.images.scale import Scale

#: Pixels of the sheet. A tile's picture is fitted into WIDTH x HEIGHT.
WIDTH, HEIGHT = 400, 300
MARGIN, GAP, CAPTION, HEADING, RADIUS = 32, 20, 30, 76, 8
COLUMNS = 4
#: Pixels. A larger picture takes seconds to decode, and says no more in a small tile.
MAX_PIXELS = 40_000_000
#: Boxes and corners are drawn this many times larger, then reduced, so that edges are smooth.
_SMOOTH = 3
#: Pixels of the sheet. A box's line, a tag's text, and the room beside it.
_LINE, _TAG_TEXT, _TAG_PADDING = 2, 13, 5

#: Tags on a tile: more would hide the picture. The other boxes stay, without one.
_MAX_TAGS = 24

_PAPER, _MAT, _INK, _FAINT = (250, 250, 248), (233, 234, 232), (28, 32, 38), (112, 120, 130)
#: Distinguishable on photographs, all dark or bright enough for one of the two text colours.
_PALETTE = (
    (255, 92, 57),
    (0, 145, 255),
    (0, 184, 122),
    (255, 196, 0),
    (168, 85, 247),
    (236, 64, 143),
    (0, 188, 212),
    (140, 198, 36),
    (178, 112, 62),
    (92, 107, 240),
    (130, 205, 255),
    (20, 148, 148),
)


#: x1, y1, x2, y2 in pixels.
Edges = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Box:
    """One detection: x1 y1 x2 y2 in pixels of the picture before it was made small."""

    label: str
    class_id: int
    score: float
    edges: Edges


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """An upright image that fits a tile, and its size before that: (width, height)."""

    image: Image.Image
    size: tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    picture: Picture
    name: str
    boxes: tuple[Box, ...]


@dataclass(frozen=True, slots=True)
class Heading:
    title: str
    detail: str
    corner: str


def load(data: bytes, scale: Scale | None = None) -> Picture | None:
    """A file's content as an upright image, no larger than a tile needs; None if it is broken.

    `scale` maps deep images as it does for the workers, except HEIC and AVIF: these show their whole range.
    """
    try:
        with warnings.catch_warnings(action="ignore"):
            size, orientation, image = _as_workers_do(data, scale) or _by_pillow(data)
            image.thumbnail((max(WIDTH, HEIGHT), max(WIDTH, HEIGHT)), Image.Resampling.LANCZOS, reducing_gap=2.0)
            image.getexif()[0x0112] = orientation
            image = ImageOps.exif_transpose(image)
    except Exception:  # Pillow's formats raise whatever their parsing runs into; a preview stops no run.
        return None
    upright = (size[1], size[0]) if orientation in (5, 6, 7, 8) else size
    ratio = min(WIDTH / upright[0], HEIGHT / upright[1])
    fitted = (max(1, round(upright[0] * ratio)), max(1, round(upright[1] * ratio)))
    return Picture(image.resize(fitted, Image.Resampling.LANCZOS), upright)


def _as_workers_do(data: bytes, scale: Scale | None) -> tuple[tuple[int, int], int, Image.Image] | None:
    """Size, orientation and pixels of what Pillow does not read right, or at 8 bits only; None for all else."""
    if (own := images.open_picture(data)) is not None:
        width, height = own.size
        if max(own.memory_pixels, width * height) > MAX_PIXELS:
            raise ValueError("too large for a preview")
        return own.size, own.orientation or 1, Image.fromarray(own.rgb(scale)).convert("RGB")
    if scale is None:
        return None
    samples = deep.read(data)
    if samples is None:
        return None
    with Image.open(io.BytesIO(data)) as file:
        size, orientation = file.size, file.getexif().get(0x0112, 1)
    array, top = samples
    return size, orientation, Image.fromarray(to_bytes(array, top, scale)).convert("RGB")


def _by_pillow(data: bytes) -> tuple[tuple[int, int], int, Image.Image]:
    if data[4:8] == b"ftyp":
        _know_heic()
    with Image.open(io.BytesIO(data)) as file:
        size, orientation = file.size, file.getexif().get(0x0112, 1)
        # JPEG alone: decodes at a half, quarter or eighth of the size, which is several times faster.
        file.draft("RGB", (WIDTH, HEIGHT))
        return size, orientation, _rgb(file)


@cache
def _know_heic() -> None:
    """Teaches Pillow to open HEIC, which comes turned already. Late: it takes some time to load."""
    from pillow_heif import register_heif_opener

    register_heif_opener(decode_threads=0, thumbnails=False, depth_images=False, aux_images=False)


def draw(heading: Heading, tiles: list[Tile]) -> Image.Image:
    """The sheet: 4 tiles a row. Fewer tiles make a smaller sheet, that still has room for its heading."""
    columns = min(COLUMNS, max(2, len(tiles)))
    rows = -(-len(tiles) // columns)
    width = 2 * MARGIN + columns * WIDTH + (columns - 1) * GAP
    height = MARGIN + HEADING + max(1, rows) * (HEIGHT + CAPTION) + max(0, rows - 1) * GAP + MARGIN
    sheet = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    _heading(pen, heading, width)
    if not tiles:
        pen.text((MARGIN, MARGIN + HEADING), "no image of this run can be shown", _FAINT, _font(18))
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        x = MARGIN + column * (WIDTH + GAP)
        y = MARGIN + HEADING + row * (HEIGHT + CAPTION + GAP)
        sheet.paste(_picture(tile), (x, y), _corners())
        _caption(pen, tile, x, y + HEIGHT + CAPTION * 3 // 5)
    return sheet


def _heading(pen: ImageDraw.ImageDraw, heading: Heading, width: int) -> None:
    pen.text((MARGIN, MARGIN + 22), _shown(heading.title), _INK, _font(32), "ls")
    pen.text((MARGIN, MARGIN + 50), _shown(heading.detail), _FAINT, _font(18), "ls")
    pen.text((width - MARGIN, MARGIN + 50), _shown(heading.corner), _FAINT, _font(18), "rs")


def _caption(pen: ImageDraw.ImageDraw, tile: Tile, x: int, y: int) -> None:
    count = "nothing found" if not tile.boxes else f"{len(tile.boxes)} found"
    pen.text((x + WIDTH, y), count, _FAINT, _font(15), "rm")
    room = WIDTH - _font(15).getlength(count) - 16
    pen.text((x, y), _fit(_shown(tile.name), room, 15), _INK, _font(15), "lm")


def _picture(tile: Tile) -> Image.Image:
    """The picture in the middle of its mat, with boxes under and tags over them."""
    image = tile.picture.image.copy()
    scale = image.width / tile.picture.size[0], image.height / tile.picture.size[1]
    boxes = [(box, _scaled(box, scale, image.size)) for box in tile.boxes]
    large = Image.new("RGBA", (image.width * _SMOOTH, image.height * _SMOOTH))
    pen = ImageDraw.Draw(large)
    # The surest last, so that it lies on top.
    for box, edges in reversed(boxes):
        x1, y1, x2, y2 = (round(edge * _SMOOTH) for edge in edges)
        radius = min(4 * _SMOOTH, (x2 - x1) // 4, (y2 - y1) // 4)
        pen.rounded_rectangle((x1, y1, x2, y2), radius, outline=_colour(box.class_id), width=_LINE * _SMOOTH)
    overlay = large.reduce(_SMOOTH)
    image.paste(overlay.convert("RGB"), (0, 0), overlay.getchannel("A"))
    _tags(image, boxes)
    mat = Image.new("RGB", (WIDTH, HEIGHT), _MAT)
    mat.paste(image, ((WIDTH - image.width) // 2, (HEIGHT - image.height) // 2))
    return mat


def _tags(image: Image.Image, boxes: list[tuple[Box, Edges]]) -> None:
    """Label and score on the box's colour. The surest choose their place first and are drawn last."""
    font, pen = _font(_TAG_TEXT), ImageDraw.Draw(image)
    tags: list[tuple[tuple[int, int, int, int], Box, str]] = []
    for box, edges in boxes[:_MAX_TAGS]:
        text = _fit(f"{_shown(box.label)} {box.score:.2f}", image.width - 2 * _TAG_PADDING, _TAG_TEXT)
        size = round(font.getlength(text)) + 2 * _TAG_PADDING, _TAG_TEXT + 6
        tags.append((_tag_area(edges, size, image.size, [area for area, _, _ in tags]), box, text))
    for area, box, text in reversed(tags):
        pen.rounded_rectangle(area, 3, fill=_colour(box.class_id))
        middle = (area[0] + _TAG_PADDING, (area[1] + area[3] + 1) / 2)
        pen.text(middle, text, _text_colour(_colour(box.class_id)), font, "lm")


def _tag_area(
    edges: Edges, size: tuple[int, int], picture: tuple[int, int], taken: list[tuple[int, int, int, int]]
) -> tuple[int, int, int, int]:
    """At the box's corners, outside before inside, the first place that covers no surer tag; never off the picture."""
    x1, y1, x2, y2 = (round(edge) for edge in edges)
    width, height = size
    above, below = y1 - height + _LINE, y2 - 1
    areas = []
    for y in (above, above + height, below, below - height):
        for x in (x1, x2 - width + 1):
            left, upper = max(0, min(x, picture[0] - width)), max(0, min(y, picture[1] - height))
            areas.append((left, upper, left + width - 1, upper + height - 1))
    return next((area for area in areas if not any(_overlap(area, other) for other in taken)), areas[0])


def _overlap(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> bool:
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]


def _scaled(box: Box, scale: tuple[float, float], size: tuple[int, int]) -> Edges:
    """The box on the small picture: inside it and not turned over, even if the file is another one by now."""
    x1, y1, x2, y2 = box.edges
    left, top = (max(0.0, min(low, side - 1.0)) for low, side in zip((x1 * scale[0], y1 * scale[1]), size, strict=True))
    return left, top, max(left, min(x2 * scale[0], size[0] - 1.0)), max(top, min(y2 * scale[1], size[1] - 1.0))


def _colour(class_id: int) -> tuple[int, int, int]:
    return _PALETTE[class_id % len(_PALETTE)]


def _text_colour(ground: tuple[int, int, int]) -> tuple[int, int, int]:
    """Black or white, whichever stands out more (Rec. 709 luma)."""
    luma = 0.2126 * ground[0] + 0.7152 * ground[1] + 0.0722 * ground[2]
    return (16, 18, 22) if luma > 135 else (255, 255, 255)


def _rgb(image: Image.Image) -> Image.Image:
    """Eight bits a channel; 16-bit greys are divided by 256, as the workers do."""
    if image.mode.startswith("I"):
        return image.convert("I").point(lambda value: value / 256).convert("L").convert("RGB")
    return image.convert("RGB")


def _shown(text: str) -> str:
    """The text with what the built-in font lacks (it knows ASCII) made into its base letter or a question mark."""
    plain = unicodedata.normalize("NFKD", text)
    letters = (letter for letter in plain if not unicodedata.combining(letter))
    return "".join(letter if " " <= letter <= "~" else "?" for letter in letters)


def _fit(text: str, room: float, size: int) -> str:
    """The text, its middle left out where it is too long."""
    font, kept = _font(size), len(text)
    fitted = text
    while font.getlength(fitted) > room and kept > 2:
        kept -= 1
        fitted = f"{text[: kept - kept // 2]}...{text[len(text) - kept // 2 :]}"
    return fitted


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


@cache
def _corners() -> Image.Image:
    """A tile's mask, with smooth round corners."""
    large = Image.new("L", (WIDTH * _SMOOTH, HEIGHT * _SMOOTH))
    area = (0, 0, large.width - 1, large.height - 1)
    ImageDraw.Draw(large).rounded_rectangle(area, RADIUS * _SMOOTH, fill=255)
    return large.reduce(_SMOOTH)
