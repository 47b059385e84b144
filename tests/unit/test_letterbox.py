"""Where an image lies in the network's input, what its values become, and the way back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.detect.detectors import boxes
from jobs.detect.detectors.letterbox import Pixels, Placement, place, to_image, to_tensor

CORNER = Pixels("BGR", "corner", "down")
CENTRE = Pixels("RGB", "centre", "nearest", std=(255.0, 255.0, 255.0))
STRETCH = Pixels("BGR", "stretch", pad=0, mean=(10.0, 20.0, 30.0), std=(2.0, 4.0, 8.0))
EVERY = pytest.mark.parametrize("pixels", [CORNER, CENTRE, STRETCH], ids=lambda pixels: pixels.fit)


def flat(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), (50, 100, 200), np.uint8)


def test_corner_rounds_sides_down_and_keeps_the_exact_scale() -> None:
    # YOLOX: r = min(416 / 427, 416 / 640) = 0.65; int(427 * 0.65) = 277.
    assert place((427, 640), (416, 416), CORNER) == Placement(0, 0, 416, 277, 0.65, 0.65)


def test_centre_rounds_to_the_nearest_and_puts_the_odd_pixel_below() -> None:
    # Ultralytics: 427 * 1 = 427; (640 - 427) / 2 = 106.5, of which 106 above.
    assert place((427, 640), (640, 640), CENTRE) == Placement(0, 106, 640, 427, 1.0, 1.0)


def test_stretch_has_two_scales() -> None:
    assert place((100, 200), (320, 320), STRETCH) == Placement(0, 0, 320, 320, 1.6, 3.2)


def test_values_padding_and_order_of_the_corner() -> None:
    tensor = to_tensor(flat(20, 40), (64, 64), CORNER)
    assert (tensor.shape, tensor.dtype) == ((1, 3, 64, 64), np.float32)
    assert tensor[0, :, :32].reshape(3, -1).min(axis=1).tolist() == [50, 100, 200]
    assert (tensor[0, :, 32:] == 114).all()


def test_values_padding_and_order_of_the_centre() -> None:
    tensor = to_tensor(flat(64, 32), (64, 64), CENTRE)
    assert tensor[0, :, 0, 16] == pytest.approx(np.array([200, 100, 50], np.float32) / 255, abs=0)
    assert (tensor[0, :, :, :16] == np.float32(114 / 255)).all()
    assert (tensor[0, :, :, 48:] == np.float32(114 / 255)).all()


def test_mean_and_deviation_are_per_channel_in_the_networks_order() -> None:
    tensor = to_tensor(flat(5, 9), (32, 32), STRETCH)
    assert tensor[0, :, 31, 31].tolist() == [20.0, 20.0, 21.25]


def test_half_precision_where_the_network_takes_it() -> None:
    assert to_tensor(flat(5, 9), (32, 32), CENTRE, np.float16).dtype == np.float16


@EVERY
def test_does_not_change_the_image(pixels: Pixels) -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    before = image.copy()
    to_tensor(image, (64, 64), pixels)
    assert (image == before).all()


@EVERY
@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (64, 64)])
def test_any_size_fills_the_tensor(size: tuple[int, int], pixels: Pixels) -> None:
    assert np.isfinite(to_tensor(flat(*size), (64, 96), pixels)).all()


@EVERY
@given(st.integers(1, 3000), st.integers(1, 3000))
def test_the_way_back_is_the_inverse(pixels: Pixels, height: int, width: int) -> None:
    at = place((height, width), (416, 640), pixels)
    corners = np.array([[0, 0, width, height]], np.float32)
    scales = np.array([at.scale_x, at.scale_y] * 2)
    inside = corners * scales + np.array([at.left, at.top] * 2)
    found = boxes.candidates(inside, np.ones(1), np.zeros(1, np.intp))
    assert to_image(found, at).boxes == pytest.approx(corners, abs=width * 1e-5 + height * 1e-5 + 1e-3)


def test_the_text_tells_different_pixels_apart() -> None:
    assert len({pixels.text for pixels in (CORNER, CENTRE, STRETCH)}) == 3
