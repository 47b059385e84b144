"""A small real Darknet detector: cells of 8 pixels, of class 0 where they are red and 1 where they are blue."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

CFG = """[net]
width={side}
height={side}
channels=3

[convolutional]
filters=7
size=8
stride=8
pad=0
activation=linear

[{section}]
{extra}
classes=2
num=1
"""
YOLO = "mask = 0\nanchors = 8, 8\nthresh = .5"
REGION = "anchors = 1, 1\nsoftmax = 1\nthresh = .6\ncoords = 4"


def save(folder: Path, *, name: str = "made", section: str = "yolo", side: int = 64) -> Path:
    """`<name>.cfg` and `<name>.weights` in `folder`; returns the cfg. Its own thresh would hide low scores."""
    cfg = folder / f"{name}.cfg"
    cfg.write_text(CFG.format(section=section, side=side, extra=YOLO if section == "yolo" else REGION))
    biases = np.array([0, 0, 0, 0, -4, -4, -4], np.float32)
    # Rows: x, y, width, height, objectness, class 0, class 1; columns: red, green, blue.
    weights = np.zeros((7, 3), np.float32)
    weights[4] = 8, 0, 8
    weights[5, 0] = weights[6, 2] = 8
    kernel = np.broadcast_to(weights[..., None, None] / 64, (7, 3, 8, 8))
    header = struct.pack("<iiiq", 0, 2, 0, 0)
    cfg.with_suffix(".weights").write_bytes(header + biases.tobytes() + kernel.tobytes())
    return cfg
