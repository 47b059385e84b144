"""A number and a seed in, `dataset/` out: streets and faces with their truth in COCO's form.

Run from the checkout's root: `python -m demo.make_dataset dataset [--images 200] [--seed 0]`.
The same number, seed and library versions give the same bytes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track

from demo.faces import compose_faces, load_photographs
from demo.scene import HEIGHT, WIDTH, Scene, TrueBox
from demo.streets import draw_street

#: COCO category ids.
CATEGORIES = {"person": 1, "face": 2}
#: Share of the images that are streets.
STREET_SHARE = 0.6
JPEG_QUALITY = 92


@dataclass(frozen=True, slots=True)
class Task:
    """One image to make: its number (its COCO id less one), its path in the data set, and what makes it."""

    number: int
    file_name: str
    make: Callable[[np.random.Generator], Scene]


def make_dataset(folder: Path, images: int, seed: int, console: Console | None = None) -> None:
    """Writes `images` pictures into streets/ and faces/, then truth.json beside them.

    Pictures of an earlier call that this one does not make are removed. Progress goes to `console`.
    """
    tasks = _plan(images)
    for kind in ("streets", "faces"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for stale in set((folder / kind).glob(f"{kind[:-1]}-*.jpg")) - {folder / task.file_name for task in tasks}:
            stale.unlink()
    (folder / "truth.json").unlink(missing_ok=True)
    with ThreadPoolExecutor() as pool:
        made = pool.map(partial(_write, folder, seed), tasks)
        shown = track(made, "Drawing the data set", len(tasks), console=console, disable=console is None)
        truths = list(shown)
    (folder / "truth.json").write_text(json.dumps(_coco(tasks, truths), indent=1) + "\n")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m demo.make_dataset", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    if options.images < 2:
        parser.error(f"--images {options.images}: at least 2, a street and a face")
    make_dataset(options.folder, options.images, options.seed, Console(stderr=True))
    truth = json.loads((options.folder / "truth.json").read_text())
    names = {number: name for name, number in CATEGORIES.items()}
    labels = [names[annotation["category_id"]] for annotation in truth["annotations"]]
    Console().print(
        f"{options.folder}/: {len(truth['images'])} images, {labels.count('person')} people and "
        f"{labels.count('face')} faces in {options.folder}/truth.json",
        highlight=False,
        soft_wrap=True,
    )


def _plan(images: int) -> list[Task]:
    streets = min(images - 1, max(1, round(images * STREET_SHARE)))
    compose = partial(compose_faces, load_photographs())
    faces = images - streets
    return [
        *(Task(n, f"streets/street-{n + 1:03}.jpg", draw_street) for n in range(streets)),
        *(Task(streets + n, f"faces/face-{n + 1:03}.jpg", compose) for n in range(faces)),
    ]


def _write(folder: Path, seed: int, task: Task) -> tuple[TrueBox, ...]:
    """Makes one image from its own random numbers, so that the order of making does not matter."""
    scene = task.make(np.random.default_rng([seed, task.number]))
    encoded = cv2.imencode(".jpg", scene.pixels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    (folder / task.file_name).write_bytes(encoded.tobytes())
    return scene.truth


def _coco(tasks: list[Task], truths: list[tuple[TrueBox, ...]]) -> dict[str, object]:
    """COCO's data set form; `file_name` is relative to the data set's folder, `bbox` is [x, y, width, height]."""
    annotations: list[dict[str, object]] = []
    for task, truth in zip(tasks, truths, strict=True):
        for true in truth:
            box = true.box
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": task.number + 1,
                    "category_id": CATEGORIES[true.label],
                    "bbox": [round(value, 2) for value in (box.x1, box.y1, box.x2 - box.x1, box.y2 - box.y1)],
                    "area": round(box.area, 2),
                    "iscrowd": 0,
                }
            )
    return {
        "images": [
            {"id": task.number + 1, "file_name": task.file_name, "width": WIDTH, "height": HEIGHT} for task in tasks
        ],
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for name, number in CATEGORIES.items()],
    }


if __name__ == "__main__":
    main()
