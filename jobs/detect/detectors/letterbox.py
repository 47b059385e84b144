"""An image in, the network's tensor out; and the network's boxes back in the image's pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from common.images.image import Image
from jobs.detect.detectors.boxes import Candidates

#: Three values in the order in which the network takes its channels.
Channels = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Pixels:
    """All that decides what a network sees of an image: `(pixel - mean) / std` after resizing and padding."""

    order: Literal["BGR", "RGB", "GREY"]
    #: Where the image lies: in the top left corner, in the centre, or stretched over the whole.
    fit: Literal["corner", "centre", "stretch"]
    #: How a resized side becomes whole pixels.
    rounding: Literal["down", "nearest"] = "nearest"
    #: The padding's value, 0..255, before mean and std.
    pad: int = 114
    mean: Channels = (0.0, 0.0, 0.0)
    std: Channels = (1.0, 1.0, 1.0)

    @property
    def text(self) -> str:
        """One line for people and for the detector's digest."""
        place = "stretched" if self.fit == "stretch" else f"{self.fit}, padded with {self.pad}"
        return (
            f"{self.order}, {place}, sides rounded {self.rounding}, bilinear, "
            f"mean {' '.join(map(str, self.mean))}, std {' '.join(map(str, self.std))}"
        )


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the resized image lies in the network's input, in network pixels, and its scales."""

    left: int
    top: int
    width: int
    height: int
    #: Network pixels per image pixel.
    scale_x: float
    scale_y: float


def place(image: tuple[int, int], network: tuple[int, int], pixels: Pixels) -> Placement:
    """Both sizes are (height, width). No side is under one pixel, however extreme the image's aspect."""
    (image_h, image_w), (net_h, net_w) = image, network
    if pixels.fit == "stretch":
        return Placement(0, 0, net_w, net_h, net_w / image_w, net_h / image_h)
    scale = min(net_h / image_h, net_w / image_w)
    whole = int if pixels.rounding == "down" else round
    width = min(max(whole(image_w * scale), 1), net_w)
    height = min(max(whole(image_h * scale), 1), net_h)
    left = top = 0
    if pixels.fit == "centre":
        # As Ultralytics' LetterBox: an odd pixel of padding goes to the right and below.
        left, top = round((net_w - width) / 2 - 0.1), round((net_h - height) / 2 - 0.1)
    return Placement(left, top, width, height, scale, scale)


def to_tensor(
    image: Image, network: tuple[int, int], pixels: Pixels, dtype: npt.DTypeLike = np.float32
) -> npt.NDArray[np.floating]:
    """(1, 3, height, width), or one plane of grey. Planes are cast where they will lie: measured faster than
    `cv2.dnn.blobFromImage`.
    """
    at = place((image.shape[0], image.shape[1]), network, pixels)
    size = (at.width, at.height)
    resized = image if image.shape[1::-1] == size else cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    planes = [cv2.cvtColor(resized, cv2.COLOR_BGR2GRAY)] if pixels.order == "GREY" else cv2.split(resized)
    tensor = np.empty((1, len(planes), *network), dtype)
    right, bottom = at.left + at.width, at.top + at.height
    for channel, plane in enumerate(planes[::-1] if pixels.order == "RGB" else planes):
        mean, std = pixels.mean[channel], pixels.std[channel]
        target = tensor[0, channel]
        border = (pixels.pad - mean) / std
        target[: at.top] = border
        target[bottom:] = border
        target[at.top : bottom, : at.left] = border
        target[at.top : bottom, right:] = border
        inner = target[at.top : bottom, at.left : right]
        inner[...] = plane
        if mean != 0:
            inner -= mean
        if std != 1:
            inner /= std
    return tensor


def to_image(found: Candidates, at: Placement) -> Candidates:
    """Boxes from network pixels to image pixels, not yet clipped."""
    origin = np.array((at.left, at.top) * 2, np.float32)
    scale = np.array((at.scale_x, at.scale_y) * 2, np.float32)
    return Candidates((found.boxes - origin) / scale, found.scores, found.class_ids)
