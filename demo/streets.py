"""A random generator in, a drawn street out, with the box of every person in it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from demo.canvas import Canvas, Colour, colour, mix, shade
from demo.figures import draw_walker, random_walker
from demo.scene import HEIGHT, WIDTH, Box, Pixels, Scene, TrueBox
from demo.scenery import (
    HOURS,
    Hour,
    Plot,
    draw_house,
    draw_lamp,
    draw_planter,
    draw_sky,
    draw_tree,
    ground_shadow,
)

#: Share of the streets with nobody in them.
EMPTY_SHARE = 0.1
#: Pixels. Smaller figures are under OpenCV's 64x128 window, whose person is about 96 tall.
SMALLEST_FIGURE = 108
#: Pixels. Where the lowest feet stand: the window reaches a sixth of the figure further down.
LOWEST_FEET = 446
#: Share of the narrower of two figures that may be hidden.
MOST_HIDDEN = 0.12

PAVING = tuple(map(colour, ("#b9b1a6", "#c2b8a8", "#aeb0b0", "#b8a797")))
ASPHALT = colour("#6c6e72")
MARKING = colour("#e8e4da")


@dataclass(frozen=True, slots=True)
class View:
    """A camera that looks straight at the houses: on the ground, pixels per metre grow with y."""

    horizon: float
    #: Metres above the ground.
    eye: float

    def metre(self, y: float) -> float:
        """Pixels per metre at the depth whose ground is at y."""
        return (y - self.horizon) / self.eye

    def widen(self, x: float, near: float, far: float) -> float:
        """Where a point at (x, near) goes when it moves straight away to the depth of `far`."""
        return WIDTH / 2 + (x - WIDTH / 2) * self.metre(far) / self.metre(near)


def draw_street(rng: np.random.Generator) -> Scene:
    """One street at some hour: houses, trees and lamps, and 0 to 6 walkers with their feet on the ground."""
    canvas = Canvas()
    hour = HOURS[int(rng.integers(len(HOURS)))]
    view = View(horizon=float(rng.uniform(258, 272)), eye=float(rng.uniform(1.2, 1.3)))
    houses = view.horizon + float(rng.uniform(46, 58))
    draw_sky(canvas, rng, hour, view.horizon + 2)
    _draw_ground(canvas, rng, view, houses)
    _draw_houses(canvas, rng, view, houses, hour)
    _draw_furniture(canvas, rng, view, houses + 9, hour)
    truth = _draw_walkers(canvas, rng, view)
    return Scene(_photograph(canvas, rng, hour), truth)


def _draw_ground(canvas: Canvas, rng: np.random.Generator, view: View, houses: float) -> None:
    """A paved square, or a pavement on each side of a road."""
    stone = PAVING[int(rng.integers(len(PAVING)))]
    canvas.gradient(view.horizon, HEIGHT, shade(stone, 0.9), shade(stone, 1.06))
    _draw_slabs(canvas, view, stone, houses, rng.uniform(0.8, 1.4))
    if rng.random() < 0.3:
        return
    far, near = houses + float(rng.uniform(22, 34)), float(rng.uniform(412, 440))
    canvas.gradient(far, near, shade(ASPHALT, 0.95), shade(ASPHALT, 1.08))
    canvas.rectangle(0, far - 3, WIDTH, far, shade(stone, 1.18))
    canvas.rectangle(0, near, WIDTH, near + 7, shade(stone, 1.2))
    canvas.rectangle(0, near - 4, WIDTH, near, shade(stone, 0.66))
    if rng.random() < 0.5:
        _draw_crossing(canvas, view, far + 4, near - 8, float(rng.uniform(120, 420)))
    else:
        middle = view.horizon + 2 / (1 / (far - view.horizon) + 1 / (near - view.horizon))
        for left in np.arange(-40 + rng.uniform(0, 90), WIDTH, 95):
            canvas.polygon(
                [(left + 2, middle), (left + 48, middle), (left + 51, middle + 5), (left - 1, middle + 5)], MARKING
            )


def _draw_slabs(canvas: Canvas, view: View, stone: Colour, far: float, size: float) -> None:
    """Joints of square slabs, `size` metres each: rows at equal depths, columns to the vanishing point."""
    joint = shade(stone, 0.9)
    depth = view.eye / (HEIGHT - view.horizon)
    step = size / 640.0
    while (y := view.horizon + view.eye / depth) > far:
        canvas.line((0, y), (WIDTH, y), 0.5 + (y - far) / 160, joint)
        depth += step
    wide = size * view.metre(HEIGHT)
    for x in np.arange(-WIDTH * 2, WIDTH * 3, wide):
        canvas.line((view.widen(x, HEIGHT, far), far), (x, HEIGHT), 0.8, joint)


def _draw_crossing(canvas: Canvas, view: View, far: float, near: float, left: float) -> None:
    """Zebra stripes across the road."""
    stripe = 0.5 * view.metre(near)
    for x in left + stripe * 2 * np.arange(4):
        corners = [(view.widen(x + dx, near, y), y) for dx, y in ((0, far), (stripe, far), (stripe, near), (0, near))]
        canvas.polygon(corners, mix(MARKING, ASPHALT, 0.12))


def _draw_houses(canvas: Canvas, rng: np.random.Generator, view: View, ground: float, hour: Hour) -> None:
    metre = view.metre(ground)
    x = -float(rng.uniform(0, 4)) * metre
    while x < WIDTH:
        right = x + float(rng.uniform(4.2, 7.5)) * metre
        if rng.random() < 0.9:
            draw_house(canvas, rng, Plot(x, right, ground, metre), hour.lit)
        x = right
    ground_shadow(canvas, ground)


def _draw_furniture(canvas: Canvas, rng: np.random.Generator, view: View, ground: float, hour: Hour) -> None:
    """Trees, planters and lamps along the far pavement, none upon another."""
    metre = view.metre(ground)
    places = np.arange(rng.uniform(20, 90), WIDTH, rng.uniform(105, 150))
    for x in places:
        kind = rng.random()
        foot = (float(x + rng.uniform(-18, 18)), ground)
        if kind < 0.34:
            draw_tree(canvas, rng, foot, metre)
        elif kind < 0.56:
            draw_lamp(canvas, foot, metre, hour.lit)
        elif kind < 0.78:
            draw_planter(canvas, rng, foot, metre)


def _draw_walkers(canvas: Canvas, rng: np.random.Generator, view: View) -> tuple[TrueBox, ...]:
    """The far ones first, so that the near ones stand before them."""
    count = 0 if rng.random() < EMPTY_SHARE else int(rng.integers(1, 7))
    sun = float(rng.choice([-1.0, 1.0]))
    spots = sorted(_choose_spots(rng, view, count), key=lambda spot: spot.y2)
    boxes = []
    for spot in spots:
        feet = ((spot.x1 + spot.x2) / 2, spot.y2)
        boxes.append(draw_walker(canvas, random_walker(rng), feet, spot.y2 - spot.y1, sun))
    return tuple(TrueBox("person", box) for box in boxes)


def _choose_spots(rng: np.random.Generator, view: View, count: int) -> list[Box]:
    """Room for each walker, as boxes 0.45 statures wide that hardly hide one another."""
    nearest = view.horizon + SMALLEST_FIGURE / 1.62 * view.eye
    spots: list[Box] = []
    for _ in range(count * 12):
        if len(spots) == count:
            break
        feet = float(rng.uniform(nearest, LOWEST_FEET))
        stature = float(rng.uniform(1.62, 1.86)) * view.metre(feet)
        half = 0.225 * stature
        x = float(rng.uniform(half * 1.3, WIDTH - half * 1.3))
        spot = Box(x - half, feet - stature, x + half, feet)
        if all(spot.overlap(other).area <= MOST_HIDDEN * min(spot.area, other.area) for other in spots):
            spots.append(spot)
    return spots


def _photograph(canvas: Canvas, rng: np.random.Generator, hour: Hour) -> Pixels:
    """What a camera adds: the hour's light, exposure, a soft lens, darker corners and grain."""
    exposure = float(rng.uniform(0.92, 1.08))
    image = canvas.develop((hour.tint[0] * exposure, hour.tint[1] * exposure, hour.tint[2] * exposure))
    soft = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.35, 0.8)))
    down, across = np.ogrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j]
    corners = (1 - 0.07 * (down**2 + across**2)).astype(np.float32)[..., None]
    grain = rng.standard_normal((HEIGHT, WIDTH, 1), np.float32) * float(rng.uniform(1.0, 2.8))
    seen: Pixels = np.clip(soft * corners + grain, 0, 255).astype(np.uint8)
    return seen
