"""Lists the absolute paths of a folder's images in byte order, without holding them all."""

# Paths are bytes here, and pathlib holds text only.
# ruff: noqa: PTH116

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from common.datasets.base import display_path, is_image_name, with_slash
from common.datasets.sieve import Sieve, is_run_dir
from common.errors import UsageError


class Choice(Protocol):
    """Which part of a folder is wanted. Paths are relative to the folder, without a slash at the end."""

    @property
    def spelled(self) -> frozenset[bytes]:
        """Names that the user wrote out."""

    def enters(self, folder: bytes) -> bool:
        """Whether the folder can hold anything wanted."""

    def takes(self, file: bytes) -> bool:
        """Whether the image is wanted."""


class Everything:
    """No choice at all."""

    spelled: frozenset[bytes] = frozenset()

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

    def paths(self, sieve: Sieve) -> Iterator[bytes]:
        """Raises UsageError where the folder itself cannot be listed."""
        walk = _Walk(sieve, self.choice.spelled)
        try:
            walk.enter(self.prefix)
        except OSError as error:
            raise UsageError(
                f"folder {display_path(self.prefix)} cannot be listed: {os.strerror(error.errno or 0)}; "
                "check its permissions"
            ) from None
        skip = len(self.prefix)
        while walk.levels:
            level = walk.levels[-1]
            if not level.keys:
                walk.leave()
                continue
            path = level.prefix + level.keys.pop()
            if not path.endswith(b"/"):
                if self.choice.takes(path[skip:]):
                    yield path
            elif self.choice.enters(path[skip:-1]):
                walk.try_to_enter(path)


@dataclass(slots=True)
class _Level:
    """One folder on the way down: what is left of it, last first."""

    prefix: bytes
    keys: list[bytes]
    #: (device, inode)
    identity: tuple[int, int]


class _Walk:
    """The folders from the given one down to where the walk is: a list, for they may be thousands."""

    def __init__(self, sieve: Sieve, spelled: frozenset[bytes]) -> None:
        self.levels: list[_Level] = []
        self._sieve, self._tally = sieve, sieve.tally
        self._spelled = spelled
        self._inside: set[tuple[int, int]] = set()

    def enter(self, prefix: bytes) -> None:
        status = os.stat(prefix)
        identity = (status.st_dev, status.st_ino)
        if identity in self._inside:
            raise OSError(errno.ELOOP, "a link to a folder that it is in")
        self.levels.append(_Level(prefix, self._keys(prefix), identity))
        self._inside.add(identity)

    def leave(self) -> None:
        self._inside.discard(self.levels.pop().identity)

    def try_to_enter(self, prefix: bytes) -> None:
        """Counts a folder that cannot be entered."""
        try:
            self.enter(prefix)
        except OSError as error:
            if error.errno == errno.ELOOP:
                self._tally.link_loops += 1
            elif error.errno in (errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR):
                self._tally.unreadable += 1
            else:
                raise UsageError(
                    f"folder {display_path(prefix)} cannot be listed: {os.strerror(error.errno or 0)}; "
                    "mend it or leave it out"
                ) from None

    def _keys(self, folder: bytes) -> list[bytes]:
        """Names of the images and, ending in '/', of the folders; the last first.

        With the slash, the order of the names is the order of the whole paths below them.
        """
        if is_run_dir(folder):
            self._tally.run_dirs += 1
            return []
        keys = []
        with os.scandir(folder) as entries:
            for entry in entries:
                name, is_folder = entry.name, _is_folder(entry)
                if self._sieve.passes_over(folder, name, is_folder, self._spelled):
                    continue
                if is_folder:
                    keys.append(name + b"/")
                elif is_image_name(name):
                    keys.append(name)
                elif entry.is_symlink() and _loops(entry.path):
                    self._tally.link_loops += 1
                else:
                    self._tally.not_image(name)
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
