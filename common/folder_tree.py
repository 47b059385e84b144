"""Makes, walks and removes folders that lie thousands deep: the standard library's own functions call themselves."""

# A Path of a thousand parts takes a millisecond to make.
# ruff: noqa: PTH102, PTH106, PTH108, PTH112, PTH118

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


def make(folder: Path) -> None:
    """With all that it lies in; what is there already is left. Raises OSError."""
    path, missing = os.fspath(folder), []
    while True:
        try:
            os.mkdir(path)
            break
        except FileNotFoundError:
            if "/" not in path:
                raise
            missing.append(path)
            path = path.rpartition("/")[0]
        except FileExistsError:
            if not os.path.isdir(path):
                raise
            break
    for one in reversed(missing):
        with contextlib.suppress(FileExistsError):
            os.mkdir(one)


def files(folder: Path) -> Iterator[str]:
    """All that are no folders below it, as paths from it on. Links are not followed."""
    folders = [""]
    while folders:
        below = folders.pop()
        with os.scandir(os.path.join(folder, below)) as entries:
            for entry in entries:
                path = f"{below}{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    folders.append(f"{path}/")
                else:
                    yield path


def remove(folder: Path) -> None:
    """With all that is in it, as far as that is allowed."""
    folders, found = [os.fspath(folder)], []
    while folders:
        found.append(folders.pop())
        with contextlib.suppress(OSError), os.scandir(found[-1]) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    os.unlink(entry.path)
    for one in reversed(found):
        with contextlib.suppress(OSError):
            os.rmdir(one)
