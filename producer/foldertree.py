"""Makes, walks and removes folders that lie thousands deep: the standard library's own functions call themselves."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


def make(folder: Path) -> None:
    """With all that it lies in; what is there already is left. Raises OSError."""
    missing = []
    while True:
        try:
            folder.mkdir()
            break
        except FileNotFoundError:
            missing.append(folder)
            folder = folder.parent
        except FileExistsError:
            if not folder.is_dir():
                raise
            break
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)


def files(folder: Path) -> Iterator[str]:
    """All that are no folders below it, as paths from it on. Links are not followed."""
    folders = [""]
    while folders:
        below = folders.pop()
        with os.scandir(folder / below) as entries:
            for entry in entries:
                path = f"{below}{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    folders.append(f"{path}/")
                else:
                    yield path


def remove(folder: Path) -> None:
    """With all that is in it, as far as that is allowed."""
    folders, found = [str(folder)], []
    while folders:
        found.append(folders.pop())
        try:
            with os.scandir(found[-1]) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    else:
                        Path(entry.path).unlink(missing_ok=True)
        except OSError:
            continue
    for one in reversed(found):
        with contextlib.suppress(OSError):
            Path(one).rmdir()
