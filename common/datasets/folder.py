"""A folder in, the absolute paths of its images out, in byte order and without holding them all."""

# Paths are bytes here, and pathlib holds text only.
# ruff: noqa: PTH116

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from common.datasets.base import Tally, display_path, is_image_name, with_slash
from common.errors import UsageError


class Choice(Protocol):
    """Which part of a folder is wanted. Paths are relative to the folder, without a slash at the end."""

    def enters(self, folder: bytes) -> bool:
        """Whether the folder can hold anything wanted."""

    def takes(self, file: bytes) -> bool:
        """Whether the image is wanted."""


class Everything:
    """No choice at all."""

    def enters(self, folder: bytes) -> bool:
        return True

    def takes(self, file: bytes) -> bool:
        return True


@dataclass(frozen=True)
class Folder:
    """All images below a folder, or those of a choice. Links to folders are followed, but not into a loop."""

    prefix: bytes
    choice: Choice = field(default_factory=Everything)

    @classmethod
    def at(cls, folder: bytes) -> Folder:
        return cls(with_slash(folder))

    def paths(self, tally: Tally) -> Iterator[bytes]:
        """Raises UsageError where the folder itself cannot be listed."""
        try:
            levels = [_Level.open(self.prefix, frozenset(), tally)]
        except OSError as error:
            raise UsageError(
                f"folder {display_path(self.prefix)} cannot be listed: {os.strerror(error.errno or 0)}; "
                "check its permissions"
            ) from None
        skip = len(self.prefix)
        while levels:
            level = levels[-1]
            if not level.keys:
                levels.pop()
                continue
            path = level.prefix + level.keys.pop()
            if not path.endswith(b"/"):
                if self.choice.takes(path[skip:]):
                    yield path
            elif self.choice.enters(path[skip:-1]):
                below = _enter(path, level.ancestors, tally)
                if below is not None:
                    levels.append(below)


@dataclass(slots=True)
class _Level:
    """One folder on the way down: what is left of it, last first, and the folders that it is in."""

    prefix: bytes
    keys: list[bytes]
    #: (device, inode) of the folder and of all that it is in.
    ancestors: frozenset[tuple[int, int]]

    @classmethod
    def open(cls, prefix: bytes, ancestors: frozenset[tuple[int, int]], tally: Tally) -> _Level:
        status = os.stat(prefix)
        identity = (status.st_dev, status.st_ino)
        if identity in ancestors:
            raise OSError(errno.ELOOP, "a link to a folder that it is in")
        return cls(prefix, _keys(prefix, tally), ancestors | {identity})


def _enter(prefix: bytes, ancestors: frozenset[tuple[int, int]], tally: Tally) -> _Level | None:
    """The level below, or None (and a count) where it cannot be entered."""
    try:
        return _Level.open(prefix, ancestors, tally)
    except OSError as error:
        if error.errno == errno.ELOOP:
            tally.link_loops += 1
        elif error.errno in (errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR):
            tally.unreadable += 1
        else:
            raise UsageError(
                f"folder {display_path(prefix)} cannot be listed: {os.strerror(error.errno or 0)}; "
                "mend it or leave it out"
            ) from None
    return None


def _keys(folder: bytes, tally: Tally) -> list[bytes]:
    """Names of the images and, ending in '/', of the folders; the last first.

    With the slash, the order of the names is the order of the whole paths below them.
    """
    keys = []
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            if name.startswith(b"."):
                tally.hidden += 1
            elif _is_folder(entry):
                keys.append(name + b"/")
            elif is_image_name(name):
                keys.append(name)
            elif entry.is_symlink() and _loops(entry.path):
                tally.link_loops += 1
            else:
                tally.not_images += 1
    keys.sort(reverse=True)
    return keys


def _is_folder(entry: os.DirEntry[bytes]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or into a folder that is closed to us
        return False


def _loops(path: bytes) -> bool:
    try:
        os.stat(path)
    except OSError as error:
        return error.errno == errno.ELOOP
    return False
