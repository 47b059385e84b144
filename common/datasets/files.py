"""Files by name: their sorted paths on the producer's side, their bytes on the worker's."""

# Paths are bytes here, and pathlib holds text only.
# ruff: noqa: PTH118, PTH120, PTH123

from __future__ import annotations

import errno
import functools
import os
from collections.abc import AsyncIterable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.datasets.base import with_slash
from common.errors import ItemCode, ItemError
from common.limits import MAX_FILE_BYTES
from common.storage.access import READ, Allowed, check_regular

if TYPE_CHECKING:
    from common.datasets.sieve import Sieve


@dataclass(frozen=True)
class Files:
    """Files that were named one by one. They are items whether they exist or not."""

    prefix: bytes
    names: tuple[bytes, ...]

    @classmethod
    def named(cls, paths: Iterable[bytes]) -> Files:
        """Absolute, normal paths, at least one; the prefix is their common parent."""
        names = tuple(sorted(paths))
        # All paths in between share what the first and the last share.
        ends = {os.path.dirname(names[0]), os.path.dirname(names[-1])}
        return cls(with_slash(os.path.commonpath(ends)), names)

    def paths(self, sieve: Sieve) -> Iterator[bytes]:
        return (name for name in self.names if not sieve.excludes(name))


def absolute(path: bytes, folder: bytes) -> bytes:
    """The path, from `folder` on, without `.`, `..` and doubled slashes.

    Before a `..` links are resolved, as the system itself does it: `link/..` is not the link's own folder.
    """
    whole = os.path.join(folder, path)
    head, above, rest = (whole + b"/").rpartition(b"/../")
    if above:
        whole = os.path.join(_resolved(head + b"/.."), rest.lstrip(b"/"))
    if b"//" in whole or b"/." in whole or whole.endswith(b"/"):
        whole = b"/" + os.path.normpath(whole).lstrip(b"/")
    return whole


@functools.lru_cache(maxsize=256)
def _resolved(folder: bytes) -> bytes:
    # A list of `../images/x.jpg` asks this of the same folder for each of its lines.
    return os.path.realpath(folder)


def fetch(root: bytes, path: bytes, allowed: Allowed | None = None) -> bytes:
    """One item's bytes, as they are (none for an empty file); no more than it has when it is opened.

    Raises ItemError: not_found, forbidden, no_permission, not_a_file, too_large, read_error, out_of_memory.
    """
    whole = with_slash(root) + path
    if b"\0" in whole:
        raise ItemError(ItemCode.NOT_FOUND, "no file has a name with a NUL in it; give the image itself")
    try:
        with open(os.open(whole, READ) if allowed is None else allowed.open(whole), "rb") as file:
            status = os.fstat(file.fileno())
            check_regular(status)
            check_size(status.st_size)
            return file.read(status.st_size)
    except OSError as error:
        raise _item_error(error) from None
    except MemoryError:
        raise ItemError(
            ItemCode.OUT_OF_MEMORY, "no memory to read the file; run fewer processes on this worker"
        ) from None


def check_size(size: int) -> None:
    """Raises ItemError for more than is read into memory."""
    if size > MAX_FILE_BYTES:
        raise ItemError(ItemCode.TOO_LARGE, f"{size} bytes; a file of at most {MAX_FILE_BYTES} is read")


async def within_bounds(parts: AsyncIterable[bytes]) -> bytes:
    """What comes, whole, whatever was said before of its size. Raises ItemError: too_large."""
    found: list[bytes] = []
    size = 0
    async for part in parts:
        size += len(part)
        check_size(size)
        found.append(part)
    return b"".join(found)


def _item_error(error: OSError) -> ItemError:
    match error.errno:
        case errno.ENOENT | errno.ENOTDIR:
            text = "no such file on the worker; was it removed after submit, or is its disk not mounted there?"
            return ItemError(ItemCode.NOT_FOUND, text)
        case errno.EACCES | errno.EPERM:
            return ItemError(ItemCode.NO_PERMISSION, "the worker may not read the file; check its permissions")
        case errno.EISDIR | errno.ENXIO:
            return ItemError(ItemCode.NOT_A_FILE, "not a regular file; give the image itself")
    name = errno.errorcode.get(error.errno or 0, "unknown error")
    return ItemError(ItemCode.READ_ERROR, f"the file cannot be read ({name}); check the disk, and retry the item")
