"""A walker in, its drawing and its true box out: jointed figures, posed in three dimensions."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi, sin

import cv2
import numpy as np
import numpy.typing as npt

from demo.canvas import Canvas, Colour, Point, colour, mix, shade
from demo.scene import HEIGHT, WIDTH, Box

#: (forward, sideways, up), in statures: feet at 0, crown at 1.
Joint = tuple[float, float, float]

SKINS = tuple(map(colour, ("#f1c9a5", "#e0ac80", "#c68642", "#8d5524", "#5c3a21")))
HAIRS = tuple(map(colour, ("#2b1d16", "#4a2f1d", "#7a4a21", "#b98a3c", "#1a1a1d", "#8c8c90")))
TOPS = tuple(
    map(
        colour,
        ("#1f2f4a", "#7a1f2b", "#23402f", "#33343a", "#5b2a55", "#8a3d14", "#14474f", "#a31d1d", "#2a2140"),
    )
)
BOTTOMS = tuple(map(colour, ("#20242f", "#2b3550", "#3b2f28", "#30352b", "#1a1b20")))
ACCENTS = tuple(map(colour, ("#e2b13c", "#d9482b", "#2f8f83", "#f0e6d2", "#6c8cc4", "#c65b86")))
SHOES = colour("#191614")


@dataclass(frozen=True, slots=True)
class Outfit:
    """What a walker wears. `cut` is jacket, coat or dress; `hat` is cap, beanie, brim or none."""

    cut: str
    top: Colour
    bottom: Colour
    accent: Colour
    skin: Colour
    hair: Colour
    long_hair: bool
    hat: str
    bag: bool


@dataclass(frozen=True, slots=True)
class Walker:
    """A pose. `heading` in radians: 0 comes to us, pi/2 walks right, pi away; `phase` is the step's, 0..2 pi."""

    outfit: Outfit
    heading: float
    phase: float
    #: Radians that a thigh swings to each side of the vertical.
    stride: float
    #: Width relative to the average.
    build: float


def random_walker(rng: np.random.Generator) -> Walker:
    cut = str(rng.choice(["jacket", "jacket", "coat", "coat", "dress"]))
    outfit = Outfit(
        cut=cut,
        top=_pick(rng, TOPS),
        bottom=_pick(rng, BOTTOMS),
        accent=_pick(rng, ACCENTS),
        skin=_pick(rng, SKINS),
        hair=_pick(rng, HAIRS),
        long_hair=cut == "dress" or rng.random() < 0.3,
        hat=str(rng.choice(["none", "none", "none", "cap", "beanie", "brim"])),
        bag=bool(rng.random() < 0.35),
    )
    facing = float(rng.choice([0.0, pi / 2, pi, -pi / 2], p=[0.34, 0.16, 0.34, 0.16]))
    return Walker(
        outfit=outfit,
        heading=facing + float(rng.normal(0, 0.25)),
        phase=float(rng.uniform(0, 2 * pi)),
        stride=float(rng.uniform(0.22, 0.42)),
        build=float(rng.uniform(0.95, 1.15)),
    )


def draw_walker(canvas: Canvas, walker: Walker, feet: Point, stature: float, sun: float) -> Box:
    """Draws the figure with its feet at a point, `stature` pixels tall, lit from the side `sun` (-1 or 1).

    Returns the box of what was drawn, clipped to the image; its shadow and bag do not count.
    """
    canvas.shadow((feet[0] - sun * 0.1 * stature, feet[1]), 0.3 * stature, 0.045 * stature, 0.45)
    return _Drawing(canvas, walker, feet, stature, sun).draw()


def _pick(rng: np.random.Generator, colours: tuple[Colour, ...]) -> Colour:
    return colours[int(rng.integers(len(colours)))]


class _Drawing:
    """One figure while it is drawn: the projection, and how far the drawing has reached."""

    def __init__(self, canvas: Canvas, walker: Walker, feet: Point, stature: float, sun: float) -> None:
        self.canvas, self.walker, self.feet, self.stature, self.sun = canvas, walker, feet, stature, sun
        self.outfit = walker.outfit
        self.reach: list[npt.NDArray[np.float64]] = []
        self.legs = [_leg(walker, side) for side in (-1, 1)]
        #: The lower foot stands on the ground; the hips follow.
        self.sink = min(leg[2][2] for leg in self.legs) - 0.035

    def draw(self) -> Box:
        for leg in sorted(self.legs, key=lambda leg: self._depth(leg[1])):
            self._leg(leg)
        arms = sorted((_arm(self.walker, side) for side in (-1, 1)), key=lambda arm: self._depth(arm[1]))
        self._arm(arms[0])
        if cos(self.walker.heading) > 0:
            self._long_hair()
        self._torso()
        self._arm(arms[1])
        self._head()
        if self.outfit.bag:
            self._bag()
        x1, y1 = np.min([part.min(axis=0) for part in self.reach], axis=0)
        x2, y2 = np.max([part.max(axis=0) for part in self.reach], axis=0)
        return Box(max(0.0, x1), max(0.0, y1), min(float(WIDTH), x2), min(float(HEIGHT), y2))

    def _place(self, joint: Joint) -> Point:
        forward, sideways, up = joint
        turn = self.walker.heading
        across = forward * sin(turn) + sideways * cos(turn)
        return self.feet[0] + across * self.stature, self.feet[1] - (up - self.sink) * self.stature

    def _depth(self, joint: Joint) -> float:
        return joint[0] * cos(self.walker.heading) - joint[1] * sin(self.walker.heading)

    def _part(self, discs: list[tuple[Joint, float]], fill: Colour) -> None:
        """A limb: the hull of its discs, its shadow side first and its lit side over it."""
        for dark, share, shift in ((0.74, 1.0, 0.0), (1.0, 0.74, 0.22)):
            ring = [
                _circle(self._place(joint), radius * self.stature, share, shift * self.sun) for joint, radius in discs
            ]
            hull = cv2.convexHull(np.concatenate(ring).astype(np.float32))[:, 0].astype(np.float64)
            self.canvas.polygon(hull, shade(fill, dark))
            self.reach.append(hull)

    def _leg(self, leg: tuple[Joint, Joint, Joint]) -> None:
        hip, knee, ankle = leg
        build = self.walker.build
        bare = self.outfit.cut == "dress"
        fill = mix(self.outfit.bottom, self.outfit.skin, 0.55) if bare else self.outfit.bottom
        toe = (ankle[0] + 0.085, ankle[1] * 1.1, ankle[2] - 0.012)
        self._part([(ankle, 0.024), (toe, 0.019)], SHOES)
        slim = 0.78 if bare else 1.0
        self._part([(knee, 0.043 * slim * build), (ankle, 0.03 * slim * build)], fill)
        self._part([(hip, 0.066 * slim * build), (knee, 0.045 * slim * build)], fill)

    def _arm(self, arm: tuple[Joint, Joint, Joint]) -> None:
        shoulder, elbow, wrist = arm
        sleeve = shade(self.outfit.top, 0.92)
        self._part([(wrist, 0.021)], self.outfit.skin)
        self._part([(elbow, 0.031), (wrist, 0.022)], sleeve)
        self._part([(shoulder, 0.041 * self.walker.build), (elbow, 0.032)], sleeve)

    def _torso(self) -> None:
        build, top = self.walker.build, self.outfit.top
        shoulders: list[tuple[Joint, float]] = [((0, s * 0.07 * build, 0.795), 0.04) for s in (-1, 1)]
        chest: list[tuple[Joint, float]] = [((0.01, s * 0.06 * build, 0.72), 0.06) for s in (-1, 1)]
        hips: list[tuple[Joint, float]] = [((0, s * 0.04 * build, 0.53), 0.068 * build) for s in (-1, 1)]
        hem_at, hem_out = {"coat": (0.34, 0.075), "dress": (0.29, 0.1)}.get(self.outfit.cut, (0.5, 0.045))
        hem: list[tuple[Joint, float]] = [((f, s * hem_out, hem_at), 0.03) for s in (-1, 1) for f in (-0.05, 0.05)]
        if self.outfit.cut != "jacket":
            self._part([*hips, *hem], top)
        self._part([*shoulders, *chest, *hips], top)
        if self.outfit.cut == "dress":
            belt: list[tuple[Joint, float]] = [
                ((f, s * 0.072 * build, 0.61), 0.014) for f in (-0.05, 0.05) for s in (-1, 1)
            ]
            self._part(belt, self.outfit.accent)

    def _head(self) -> None:
        outfit, turn = self.outfit, self.walker.heading
        self._part([((0.005, 0, 0.85), 0.03), ((0.01, 0, 0.89), 0.03)], shade(outfit.skin, 0.9))
        if outfit.cut == "coat":
            self._part([((0.01, s * 0.03, 0.845), 0.028) for s in (-1, 1)], outfit.accent)
        if cos(turn) <= 0:
            self._long_hair()
        self._part([((-0.01, 0, 0.937), 0.062)], outfit.hair)
        if cos(turn) > -0.5:
            self._part([((0.024, 0, 0.921), 0.051), ((0.022, 0, 0.897), 0.04)], outfit.skin)
        if outfit.hat != "none":
            self._hat()

    def _long_hair(self) -> None:
        """Falls behind the shoulders: drawn before the torso of one who comes, after it of one who goes."""
        if self.outfit.long_hair:
            self._part([((-0.02, 0, 0.93), 0.06), ((-0.045, 0, 0.83), 0.052)], self.outfit.hair)

    def _hat(self) -> None:
        fill = self.outfit.accent if self.outfit.hat != "brim" else shade(self.outfit.top, 0.8)
        self._part([((-0.004, 0, 0.957), 0.058)], fill)
        if self.outfit.hat == "cap":
            self._part([((0.05, 0, 0.948), 0.018), ((0.095, 0, 0.942), 0.009)], fill)
        if self.outfit.hat == "brim":
            self._part([((f, s, 0.945), 0.01) for f, s in ((0.09, 0), (-0.09, 0), (0, 0.09), (0, -0.09))], fill)

    def _bag(self) -> None:
        side = 0.15
        strap_from, strap_to = self._place((0, -0.07, 0.82)), self._place((0.02, side, 0.56))
        self.canvas.line(strap_from, strap_to, 0.014 * self.stature, shade(self.outfit.accent, 0.6))
        reach = len(self.reach)
        self._part([((f, side, u), 0.02) for f in (-0.05, 0.06) for u in (0.47, 0.55)], self.outfit.accent)
        del self.reach[reach:]


def _leg(walker: Walker, side: int) -> tuple[Joint, Joint, Joint]:
    """Hip, knee and ankle. The knee bends while the leg swings forward."""
    phase = walker.phase + (pi if side > 0 else 0.0)
    thigh = walker.stride * sin(phase)
    shin = thigh - 0.08 - 1.3 * walker.stride * max(0.0, cos(phase))
    hip = (0.0, side * 0.048 * walker.build, 0.52)
    knee = (hip[0] + 0.245 * sin(thigh), side * 0.056, hip[2] - 0.245 * cos(thigh))
    return hip, knee, (knee[0] + 0.24 * sin(shin), side * 0.06, knee[2] - 0.24 * cos(shin))


def _arm(walker: Walker, side: int) -> tuple[Joint, Joint, Joint]:
    """Shoulder, elbow and wrist: an arm swings against the leg of its side."""
    phase = walker.phase + (0.0 if side > 0 else pi)
    upper = 0.8 * walker.stride * sin(phase)
    lower = upper + 0.3
    shoulder = (0.0, side * 0.107 * walker.build, 0.788)
    elbow = (shoulder[0] + 0.165 * sin(upper), side * 0.136 * walker.build, 0.788 - 0.165 * cos(upper))
    return shoulder, elbow, (elbow[0] + 0.15 * sin(lower), side * 0.138, elbow[2] - 0.15 * cos(lower))


def _circle(centre: Point, radius: float, share: float, shift: float) -> npt.NDArray[np.float64]:
    """Points on a circle, made smaller by `share` and moved to the light by `shift` radii."""
    turn = np.linspace(0.0, 2 * pi, 24, endpoint=False)
    away = radius * share
    return np.stack(
        [
            centre[0] + shift * radius + away * np.cos(turn),
            centre[1] - 0.08 * radius * (share < 1) + away * np.sin(turn),
        ],
        axis=1,
    )
