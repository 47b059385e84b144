"""A folder in, the environment out under which workers find another detector, as a wheel would install it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from chaos.poisonable import NAME, PACE
from jobs.detect.models.model_zoo import ENTRY_POINT_GROUP

#: This package is not installed with the others.
CHECKOUT = Path(__file__).resolve().parents[1]


def install(folder: Path, pace: Path, names: Sequence[str] = (NAME,)) -> dict[str, str]:
    """The environment of workers whose pace is in `pace`. Under several names it is several detectors."""
    return {**declare(folder, "manyeyes-chaos", dict.fromkeys(names, "chaos.poisonable:family")), PACE: str(pace)}


def declare(folder: Path, package: str, families: dict[str, str]) -> dict[str, str]:
    """Write what a wheel with these detector families leaves behind; returns the environment in which it is found."""
    info = folder / f"{package.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    points = "".join(f"{name} = {target}\n" for name, target in families.items())
    (info / "entry_points.txt").write_text(f"[{ENTRY_POINT_GROUP}]\n{points}")
    return {"PYTHONPATH": os.pathsep.join([str(folder), str(CHECKOUT), *filter(None, [os.environ.get("PYTHONPATH")])])}


def set_pace(pace: Path, seconds: float) -> None:
    """Of each image. At once for every process that reads it."""
    part = pace.with_suffix(".part")
    part.write_text(f"{seconds:.6f}")
    part.replace(pace)
