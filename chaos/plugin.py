"""A folder in, the environment out under which workers find the poisonable detector, as a wheel would install it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from chaos.poisonable import NAME, PACE
from common.registry import ENTRY_POINT_GROUP

#: This package is not installed with the others.
CHECKOUT = Path(__file__).resolve().parents[1]


def install(folder: Path, pace: Path, names: Sequence[str] = (NAME,)) -> dict[str, str]:
    """Write what a wheel leaves behind; returns the environment of workers whose pace is in `pace`.

    Under several names it is several detectors.
    """
    info = folder / "manyeyes_chaos-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: manyeyes-chaos\nVersion: 1.0\n")
    points = "".join(f"{name} = chaos.poisonable:family\n" for name in names)
    (info / "entry_points.txt").write_text(f"[{ENTRY_POINT_GROUP}]\n{points}")
    paths = [str(folder), str(CHECKOUT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(paths), PACE: str(pace)}
