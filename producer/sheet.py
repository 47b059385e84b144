"""Pictures with boxes and a heading in; one contact sheet out. Drawn with Pillow alone."""

from __future__ import annotations

import unicodedata
import warnings
from dataclasses import dataclass
from functools import cache

from PIL import Image, ImageDraw, ImageFont, ImageOps

#: Pixels of the sheet. A tile's picture is fitted into WIDTH x HEIGHT.
WIDTH, HEIGHT = 400, 300
MARGIN, GAP, CAPTION, HEADING, RADIUS = 32, 20, 30, 76, 8
COLUMNS = 4
#: Boxes and corners are drawn this many times larger, then reduced, so that edges are smooth.
_SMOOTH = 3
#: Pixels of the sheet. A box's line, and a tag's text.
_LINE, _TAG_TEXT = 2, 13

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
    (255, 143, 31),
    (92, 107, 240),
    (214, 69, 69),
    (20, 148, 148),
)


@dataclass(frozen=True, slots=True)
class Box:
    """One detection: x1 y1 x2 y2 in pixels of the picture before it was made small."""

    label: str
    class_id: int
    score: float
    edges: tuple[float, float, float, float]


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


def load(path: bytes) -> Picture | None:
    """Reads an image, upright, no larger than a tile needs; None if it is gone or broken."""
    try:
        with warnings.catch_warnings(), Image.open(path) as file:
            warnings.simplefilter("ignore")
            size = file.size
            orientation = file.getexif().get(0x0112, 1)
            # JPEG alone: decodes at a half, quarter or eighth of the size, which is several times faster.
            file.draft("RGB", (WIDTH, HEIGHT))
            image = _rgb(file)
            image.thumbnail((max(WIDTH, HEIGHT), max(WIDTH, HEIGHT)), Image.Resampling.LANCZOS, reducing_gap=2.0)
            image.getexif()[0x0112] = orientation
            image = ImageOps.exif_transpose(image)
    except (OSError, ValueError, SyntaxError, MemoryError, Image.DecompressionBombError):
        return None
    upright = (size[1], size[0]) if orientation in (5, 6, 7, 8) else size
    scale = min(WIDTH / upright[0], HEIGHT / upright[1])
    fitted = (max(1, round(upright[0] * scale)), max(1, round(upright[1] * scale)))
    return Picture(image.resize(fitted, Image.Resampling.LANCZOS), upright)


def draw(heading: Heading, tiles: list[Tile]) -> Image.Image:
    """The sheet: 4 tiles a row. Fewer tiles make fewer rows."""
    rows = -(-len(tiles) // COLUMNS)
    width = 2 * MARGIN + COLUMNS * WIDTH + (COLUMNS - 1) * GAP
    height = MARGIN + HEADING + max(1, rows) * (HEIGHT + CAPTION) + max(0, rows - 1) * GAP + MARGIN
    sheet = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    _heading(pen, heading, width)
    if not tiles:
        pen.text((MARGIN, MARGIN + HEADING), "no image of this run can be shown", _FAINT, _font(18))
    for number, tile in enumerate(tiles):
        row, column = divmod(number, COLUMNS)
        x = MARGIN + column * (WIDTH + GAP)
        y = MARGIN + HEADING + row * (HEIGHT + CAPTION + GAP)
        sheet.paste(_picture(tile), (x, y), _corners())
        _caption(pen, tile, x, y + HEIGHT + CAPTION * 3 // 5)
    return sheet


def _heading(pen: ImageDraw.ImageDraw, heading: Heading, width: int) -> None:
    pen.text((MARGIN, MARGIN + 22), _shown(heading.title), _INK, _font(32), "ls", stroke_width=0.4)
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
    # The surest last: its box and tag lie on top.
    boxes = [(box, _scaled(box, scale, image.size)) for box in reversed(tile.boxes)]
    large = Image.new("RGBA", (image.width * _SMOOTH, image.height * _SMOOTH))
    pen = ImageDraw.Draw(large)
    for box, (x1, y1, x2, y2) in boxes:
        edges = tuple(round(edge * _SMOOTH) for edge in (x1, y1, x2, y2))
        radius = min(4 * _SMOOTH, (edges[2] - edges[0]) // 4, (edges[3] - edges[1]) // 4)
        pen.rounded_rectangle(edges, radius, outline=(*_colour(box.class_id), 255), width=_LINE * _SMOOTH)
    overlay = large.reduce(_SMOOTH)
    image.paste(overlay.convert("RGB"), (0, 0), overlay.getchannel("A"))
    return _tagged(image, boxes)


def _tagged(image: Image.Image, boxes: list[tuple[Box, tuple[float, float, float, float]]]) -> Image.Image:
    pen = ImageDraw.Draw(image)
    for box, (x1, y1, _, y2) in boxes:
        _tag(pen, box, (x1, y1, y2), image.size)
    tile = Image.new("RGB", (WIDTH, HEIGHT), _MAT)
    tile.paste(image, ((WIDTH - image.width) // 2, (HEIGHT - image.height) // 2))
    return tile


def _tag(
    pen: ImageDraw.ImageDraw, box: Box, at: tuple[float, float, float], size: tuple[int, int]
) -> None:
    """Label and score on the box's colour: over the box, or inside where there is no room; never off the picture."""
    font = _font(_TAG_TEXT)
    text = _fit(f"{_shown(box.label)} {box.score:.2f}", size[0] - 10, _TAG_TEXT)
    width, height = round(font.getlength(text)) + 10, _TAG_TEXT + 6
    left = max(0, min(round(at[0]), size[0] - width))
    top = round(at[1]) - height + _LINE
    if top < 0:
        top = max(0, min(round(at[1]), size[1] - height))
    colour = _colour(box.class_id)
    pen.rounded_rectangle((left, top, left + width - 1, top + height - 1), 3, fill=colour)
    pen.text((left + 5, top + height / 2), text, _text_colour(colour), font, "lm")


def _scaled(box: Box, scale: tuple[float, float], size: tuple[int, int]) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = box.edges
    return (
        max(0.0, x1 * scale[0]),
        max(0.0, y1 * scale[1]),
        min(size[0] - 1.0, x2 * scale[0]),
        min(size[1] - 1.0, y2 * scale[1]),
    )


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
