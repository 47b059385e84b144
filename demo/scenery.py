"""Places in, scenery out: skies, houses, trees and lamps, each standing where it is told."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

import numpy as np

from demo.canvas import Canvas, Colour, Point, colour, mix, shade
from demo.scene import HEIGHT, WIDTH

WALLS = tuple(
    map(
        colour,
        ("#e9d3b0", "#dfb091", "#cfd8c6", "#c9d6df", "#e7c9c4", "#d9cdb8", "#c08a72", "#b9c4a7", "#e6dfd2"),
    )
)
ROOFS = tuple(map(colour, ("#8f4a3a", "#a35b43", "#5d5a60", "#6e4a3f", "#4f5a66")))
DOORS = tuple(map(colour, ("#35594a", "#7a2f2a", "#2f4a63", "#5b4636", "#8a6a2f")))
AWNINGS = tuple(map(colour, ("#b5483a", "#3f7a6b", "#38618c", "#c98f2f")))
LEAVES = tuple(map(colour, ("#5d8247", "#6f9450", "#4f7550", "#a8893a", "#8aa05a")))
FRAME = colour("#f4efe4")
TRUNK = colour("#6b5340")
IRON = colour("#3a4043")


@dataclass(frozen=True, slots=True)
class Hour:
    """A time of day: the sky's two colours, what the light does to all below it, and whether lamps are lit."""

    name: str
    zenith: Colour
    skyline: Colour
    #: Factor for blue, green and red.
    tint: Colour
    cloud: Colour
    lit: bool


HOURS = (
    Hour("morning", colour("#7fb2dd"), colour("#f3e6d0"), (0.97, 1.0, 1.02), colour("#ffffff"), lit=False),
    Hour("noon", colour("#5a9bd4"), colour("#cfe4f2"), (1.02, 1.03, 1.03), colour("#ffffff"), lit=False),
    Hour("overcast", colour("#a9b5bf"), colour("#dfe3e4"), (0.99, 0.96, 0.94), colour("#c9d0d5"), lit=False),
    Hour("golden", colour("#7c9cc4"), colour("#fbd29a"), (0.8, 0.95, 1.08), colour("#ffe6c4"), lit=False),
    Hour("evening", colour("#2c3a66"), colour("#e79b74"), (0.86, 0.7, 0.68), colour("#b98a95"), lit=True),
)


@dataclass(frozen=True, slots=True)
class Plot:
    """Where a house stands: its left and right edge, the ground line, and pixels per metre there."""

    left: float
    right: float
    ground: float
    metre: float


def draw_sky(canvas: Canvas, rng: np.random.Generator, hour: Hour, horizon: float) -> None:
    """Down to the horizon: a gradient, a few clouds, and far hills."""
    canvas.gradient(0, horizon, hour.zenith, hour.skyline)
    for _ in range(int(rng.integers(2, 6))):
        x, y = rng.uniform(0, WIDTH), rng.uniform(15, horizon * 0.45)
        size = rng.uniform(14, 30)
        fill = mix(mix(hour.zenith, hour.skyline, y / horizon), hour.cloud, 0.55)
        for puff in range(-2, 3):
            radius = size * (1 - 0.22 * abs(puff)) * rng.uniform(0.85, 1.1)
            canvas.ellipse((x + puff * size * 0.95, y - radius * 0.25), radius * 1.15, radius * 0.55, fill)
    slope = np.linspace(0, WIDTH, 40)
    for nearer in (0.0, 1.0):
        wave = np.sin(slope / rng.uniform(70, 130) + rng.uniform(0, 6)) * 9 + np.sin(slope / 37 + rng.uniform(0, 6)) * 4
        ridge = horizon - 42 + 22 * nearer + wave
        fill = mix(hour.skyline, colour("#6f8a86"), 0.35 + 0.25 * nearer)
        canvas.polygon([(0, horizon), *zip(slope, ridge, strict=True), (WIDTH, horizon)], fill)


def draw_house(canvas: Canvas, rng: np.random.Generator, plot: Plot, lit: bool) -> None:
    """A façade seen from the front: storeys, windows, a door or a shop, a roof and perhaps a chimney."""
    wall = WALLS[int(rng.integers(len(WALLS)))]
    storeys, storey = int(rng.integers(1, 4)), 2.9 * plot.metre * float(rng.uniform(0.95, 1.08))
    top = plot.ground - storeys * storey
    _roof(canvas, rng, plot, top)
    canvas.rectangle(plot.left, top, plot.right, plot.ground, wall)
    canvas.rectangle(plot.right - 0.18 * plot.metre, top, plot.right, plot.ground, shade(wall, 0.86))
    canvas.rectangle(plot.left, plot.ground - 0.45 * plot.metre, plot.right, plot.ground, shade(wall, 0.8))
    for floor in range(1, storeys):
        line = plot.ground - floor * storey
        canvas.rectangle(plot.left, line - 2, plot.right, line + 2, shade(wall, 0.9))
    shutters = DOORS[int(rng.integers(len(DOORS)))] if rng.random() < 0.5 else None
    columns = max(1, int((plot.right - plot.left) / (2.3 * plot.metre)))
    pitch = (plot.right - plot.left) / columns
    for floor in range(1, storeys):
        for column in range(columns):
            middle = plot.left + (column + 0.5) * pitch
            head = plot.ground - floor * storey - 2.3 * plot.metre
            shining = lit and rng.random() < 0.5
            _window(
                canvas, Plot(middle - 0.6 * plot.metre, middle + 0.6 * plot.metre, head, plot.metre), shining, shutters
            )
    _ground_floor(canvas, rng, plot, (columns, pitch), lit)


def draw_tree(canvas: Canvas, rng: np.random.Generator, foot: Point, metre: float) -> None:
    """A round street tree, 4 to 6 metres tall, light from above."""
    x, y = foot
    tall = float(rng.uniform(4.0, 5.6)) * metre
    canvas.shadow(foot, 1.3 * metre, 0.16 * metre, 0.35)
    wide = 0.1 * metre
    canvas.polygon(
        [(x - 1.5 * wide, y), (x - 0.7 * wide, y - tall * 0.5), (x + 0.7 * wide, y - tall * 0.5), (x + 1.5 * wide, y)],
        TRUNK,
    )
    leaf = LEAVES[int(rng.integers(len(LEAVES)))]
    middle, spread = y - tall * 0.68, tall * 0.3
    places = [(rng.uniform(0, 2 * pi), rng.uniform(0, 0.75)) for _ in range(26)]
    for factor, lift, size in ((0.72, 0.1, 0.52), (0.9, -0.03, 0.46), (1.08, -0.16, 0.34)):
        for turn, away in places:
            centre = (x + spread * away * np.cos(turn), middle + spread * (away * np.sin(turn) + lift))
            radius = spread * size * (1.1 - 0.5 * away)
            canvas.ellipse(centre, radius, radius * 0.9, shade(leaf, factor * (1.0 + 0.05 * np.cos(5 * turn))))


def draw_lamp(canvas: Canvas, foot: Point, metre: float, lit: bool) -> None:
    """A street lamp, 4 metres tall, with an arm to the right."""
    x, y = foot
    head = y - 4.0 * metre
    canvas.rectangle(x - 0.09 * metre, y - 0.5 * metre, x + 0.09 * metre, y, IRON)
    canvas.line((x, y), (x, head), 0.075 * metre, IRON)
    canvas.line((x, head), (x + 0.75 * metre, head - 0.1 * metre), 0.07 * metre, IRON)
    lantern = [(x + dx * metre, head + dy * metre) for dx, dy in ((0.5, -0.12), (1.0, -0.12), (0.92, 0.1), (0.58, 0.1))]
    canvas.polygon(lantern, IRON)
    if lit:
        canvas.light([(px, py + 0.12 * metre) for px, py in lantern], colour("#ffe2a8"))


def draw_planter(canvas: Canvas, rng: np.random.Generator, foot: Point, metre: float) -> None:
    """A low box with a hedge and some flowers."""
    x, y = foot
    leaf = LEAVES[int(rng.integers(3))]
    canvas.shadow(foot, 1.1 * metre, 0.14 * metre, 0.35)
    for step in range(-3, 4):
        canvas.ellipse(
            (x + step * 0.24 * metre, y - 0.55 * metre),
            0.26 * metre,
            0.24 * metre,
            shade(leaf, 0.9 + 0.05 * (step % 3)),
        )
    bloom = AWNINGS[int(rng.integers(len(AWNINGS)))]
    for _ in range(7):
        spot = (x + rng.uniform(-0.8, 0.8) * metre, y - rng.uniform(0.5, 0.72) * metre)
        canvas.ellipse(spot, 0.05 * metre, 0.05 * metre, mix(bloom, FRAME, 0.3))
    canvas.rectangle(x - 0.95 * metre, y - 0.45 * metre, x + 0.95 * metre, y, colour("#8b7f73"))
    canvas.rectangle(x - 0.95 * metre, y - 0.45 * metre, x + 0.95 * metre, y - 0.38 * metre, colour("#a39789"))


def _roof(canvas: Canvas, rng: np.random.Generator, plot: Plot, top: float) -> None:
    tile = ROOFS[int(rng.integers(len(ROOFS)))]
    high = float(rng.uniform(1.2, 2.0)) * plot.metre
    if rng.random() < 0.6:
        chimney = plot.left + (plot.right - plot.left) * float(rng.uniform(0.25, 0.7))
        canvas.rectangle(chimney, top - high - 0.5 * plot.metre, chimney + 0.7 * plot.metre, top, shade(tile, 0.75))
    inset = float(rng.choice([0.4, 1.2, (plot.right - plot.left) / plot.metre / 2])) * plot.metre
    eaves = 0.15 * plot.metre
    canvas.polygon(
        [
            (plot.left - eaves, top),
            (plot.left + inset, top - high),
            (plot.right - inset, top - high),
            (plot.right + eaves, top),
        ],
        tile,
    )
    canvas.rectangle(plot.left - eaves, top - 0.14 * plot.metre, plot.right + eaves, top, shade(tile, 0.8))


def _window(canvas: Canvas, at: Plot, shining: bool, shutters: Colour | None) -> None:
    """`at.ground` is the window's top: it hangs 1.5 metres down from there."""
    left, right, top, metre = at.left, at.right, at.ground, at.metre
    bottom = top + 1.5 * metre
    rim = 0.09 * metre
    if shutters is not None:
        canvas.rectangle(left - 0.5 * metre, top, right + 0.5 * metre, bottom, shutters)
    canvas.rectangle(left, top, right, bottom, FRAME)
    canvas.rectangle(left - rim, bottom, right + rim, bottom + 0.1 * metre, shade(FRAME, 0.85))
    middle = (left + right) / 2
    for x1, x2 in ((left + rim, middle - rim / 2), (middle + rim / 2, right - rim)):
        for y1, y2 in ((top + rim, top + 0.5 * metre), (top + 0.58 * metre, bottom - rim)):
            canvas.rectangle(x1, y1, x2, y2, colour("#7f96a6"))
            canvas.polygon([(x1, y1), (x2, y1), (x1, y2)], colour("#9db2bf"))
            if shining:
                canvas.light(
                    [(x1, y1), (x2, y1), (x2, y2), (x1, y2)],
                    colour("#e3aa55") if y1 < top + 0.5 * metre else colour("#d0924a"),
                )


def _ground_floor(canvas: Canvas, rng: np.random.Generator, plot: Plot, grid: tuple[int, float], lit: bool) -> None:
    """A shop with an awning, or a door among windows."""
    columns, pitch = grid
    metre, ground = plot.metre, plot.ground
    entrance = int(rng.integers(columns))
    shop = columns > 1 and rng.random() < 0.5
    for column in range(columns):
        middle = plot.left + (column + 0.5) * pitch
        if column == entrance:
            _door(canvas, DOORS[int(rng.integers(len(DOORS)))], (middle, ground), metre)
        elif not shop:
            head = ground - 2.3 * metre
            _window(
                canvas, Plot(middle - 0.6 * metre, middle + 0.6 * metre, head, metre), lit and rng.random() < 0.5, None
            )
        else:
            pane = (middle - 0.46 * pitch, ground - 2.1 * metre, middle + 0.46 * pitch, ground - 0.45 * metre)
            canvas.rectangle(*pane, colour("#5f6f78"))
            canvas.polygon([(pane[0], pane[1]), (pane[2], pane[1]), (pane[0], pane[3])], colour("#7d8e97"))
            if lit:
                canvas.light(
                    [(pane[0], pane[1]), (pane[2], pane[1]), (pane[2], pane[3]), (pane[0], pane[3])], colour("#c48f4c")
                )
    if shop:
        _awning(canvas, AWNINGS[int(rng.integers(len(AWNINGS)))], plot)


def _door(canvas: Canvas, fill: Colour, foot: Point, metre: float) -> None:
    x, y = foot
    canvas.rectangle(x - 0.62 * metre, y - 2.2 * metre, x + 0.62 * metre, y, FRAME)
    canvas.rectangle(x - 0.5 * metre, y - 2.1 * metre, x + 0.5 * metre, y, fill)
    for side in (-1, 1):
        for low, high in ((0.2, 0.9), (1.1, 1.9)):
            edge = x + side * 0.25 * metre
            canvas.rectangle(
                edge - 0.16 * metre, y - high * metre, edge + 0.16 * metre, y - low * metre, shade(fill, 1.25)
            )
    canvas.rectangle(x - 0.8 * metre, y - 0.12 * metre, x + 0.8 * metre, y, colour("#a8a198"))


def _awning(canvas: Canvas, fill: Colour, plot: Plot) -> None:
    """Stripes that lean out over the shop."""
    top, bottom = plot.ground - 2.75 * plot.metre, plot.ground - 2.05 * plot.metre
    stripes = max(4, round((plot.right - plot.left) / (0.45 * plot.metre)))
    upper = np.linspace(plot.left + 0.25 * plot.metre, plot.right - 0.25 * plot.metre, stripes + 1)
    lower = np.linspace(plot.left + 0.05 * plot.metre, plot.right - 0.05 * plot.metre, stripes + 1)
    for stripe in range(stripes):
        tone = fill if stripe % 2 else FRAME
        canvas.polygon(
            [(upper[stripe], top), (upper[stripe + 1], top), (lower[stripe + 1], bottom), (lower[stripe], bottom)], tone
        )


def ground_shadow(canvas: Canvas, ground: float) -> None:
    """The dark line where the houses meet the pavement."""
    canvas.rectangle(0, ground - 1.5, WIDTH, min(HEIGHT, ground + 2.5), colour("#6f6a64"))
