"""Folders of images in, one folder that holds as many as were asked for out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path

from common.datasets import open_dataset
from common.errors import UsageError


def repeat(folders: Sequence[Path], count: int, to: Path) -> list[Path]:
    """Links in `to` to `count` images of the folders, again from the first when they run out.

    Every file is read once here, so that the first variant does not pay for a cold disk. Raises UsageError where
    there is no image.
    """
    dataset = open_dataset([str(folder.absolute()) for folder in folders])
    root = Path(os.fsdecode(dataset.root))
    images = [root / os.fsdecode(item.path) for item in dataset.items()]
    if not images:
        raise UsageError(f"no image in {', '.join(map(str, folders))}; name another folder with --images")
    to.mkdir(parents=True)
    links = []
    for number, image in enumerate(islice(cycle(images), count)):
        if number < len(images):
            image.read_bytes()
        link = to / f"{number:06d}{image.suffix.lower()}"
        link.symlink_to(image)
        links.append(link)
    return links
