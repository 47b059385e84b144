"""A dataset with poison in it, and the detector that it kills: those of `make chaos`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from chaos import pictures, plugin

#: Megabytes. The poison that allocates passes this in a second; a good process is far below.
MEMORY_LIMIT = "400"


@dataclass(frozen=True, slots=True)
class Poisoned:
    """`photos/` in `folder`, the poison by path, and the environment in which `poisonable` is known."""

    folder: Path
    poison: dict[str, str]
    environment: dict[str, str]

    def pace(self, seconds: float) -> None:
        """What an image takes from now on."""
        plugin.set_pace(_pace(self.folder), seconds)


def make(folder: Path, images: int, poisons: list[str], pace_s: float = 0.002) -> Poisoned:
    found = pictures.make(folder / "photos", images, 1, poisons)
    environment = plugin.install(folder / "plugin", _pace(folder))
    poisoned = Poisoned(folder, found.poisoned, {**environment, "MANYEYES_MEMORY_LIMIT": MEMORY_LIMIT})
    poisoned.pace(pace_s)
    return poisoned


def _pace(folder: Path) -> Path:
    return folder / "pace"


def failed(run: Path) -> dict[str, tuple[str, str]]:
    """Path to code and text, of the images that failed."""
    rows = pq.read_table(run / "images.parquet", columns=["path", "error_code", "error"]).to_pylist()
    return {row["path"]: (row["error_code"], row["error"]) for row in rows if row["error_code"]}
