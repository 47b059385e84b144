"""A URL in; a folder of objects, or objects by name, out: in byte order, folder by folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from common.datasets import stores
from common.datasets.base import Tally, display_path, is_image_name, with_slash
from common.datasets.files import Files
from common.datasets.folder import Choice, Everything
from common.datasets.globs import Pattern
from common.datasets.lists import LIST_SUFFIXES, parse_list
from common.datasets.stores import Kind
from common.datasets.urls import canonical, common_parent, glob_base, parent
from common.errors import ItemCode, ItemError, ManyeyesError, UsageError
from common.limits import MAX_PATH_BYTES

_CLOSED = (ItemCode.NOT_FOUND, ItemCode.NO_PERMISSION)


@dataclass(frozen=True)
class RemoteFolder:
    """All images below a URL that ends in '/', or those of a choice."""

    prefix: bytes
    choice: Choice = field(default_factory=Everything)

    def paths(self, tally: Tally) -> Iterator[bytes]:
        """One folder's names are held at a time, and those of the folders that it is in.

        Raises UsageError where the folder itself cannot be listed, ManyeyesError where one below it cannot be for now.
        """
        try:
            levels = [(self.prefix, _keys(self.prefix, tally))]
        except ItemError as error:
            raise UsageError(f"{display_path(self.prefix)} cannot be listed: {_why(error)}") from None
        skip = len(self.prefix)
        while levels:
            prefix, keys = levels[-1]
            if not keys:
                levels.pop()
                continue
            path = prefix + keys.pop()
            if not path.endswith(b"/"):
                if self.choice.takes(path[skip:]):
                    yield path
            elif self.choice.enters(path[skip:-1]):
                levels.append((path, _enter(path, tally)))


def _why(error: ItemError) -> str:
    """For the user, of what was just typed."""
    match error.code:
        case ItemCode.NOT_FOUND:
            return "there is nothing; check its spelling"
        case ItemCode.NO_PERMISSION:
            return "no permission; give this machine the credentials for it, as docs/datasets.md has it"
    return str(error)


def _enter(folder: bytes, tally: Tally) -> list[bytes]:
    # Pages can be made up without an end, each below the other.
    if len(folder) <= MAX_PATH_BYTES:
        try:
            return _keys(folder, tally)
        except ItemError as error:
            if error.code not in _CLOSED:
                raise ManyeyesError(f"{display_path(folder)} cannot be listed: {error}") from None
    tally.unreadable += 1
    return []


def _keys(folder: bytes, tally: Tally) -> list[bytes]:
    """Of the images and folders, the last first. With its slash, a folder stands where the paths below it do."""
    keys = []
    for name in stores.names(folder):
        if name.startswith((b".", b"/")):
            tally.hidden += 1
        elif name.endswith(b"/") or is_image_name(name):
            keys.append(name)
        else:
            tally.not_images += 1
    keys.reverse()
    return keys


def named(urls: Iterable[bytes]) -> Files:
    """URLs of one scheme, at least one. They are items whether there is something or not."""
    names = tuple(sorted(urls))
    ends = [parent(names[0]), parent(names[-1])]
    return Files(with_slash(common_parent(ends)), names)


def open_url(given: str) -> RemoteFolder | list[bytes]:
    """A folder or glob, or the objects that a single one's URL stands for: itself, or those that it lists.

    Raises UsageError where there is nothing, or nothing that can be read.
    """
    url = canonical(given.encode(errors="surrogateescape"))
    stores.check(url)
    base, segments = glob_base(url)
    if segments:
        return RemoteFolder(base, Pattern(segments))
    if url.endswith(b"/") or url.count(b"/") == 2:
        return RemoteFolder(with_slash(url))
    try:
        if stores.kind(url) is Kind.FOLDER:
            return RemoteFolder(with_slash(url))
        if not url.lower().endswith(LIST_SUFFIXES):
            return [url]
        return parse_list(stores.read(url), parent(url), repr(given))
    except ItemError as error:
        raise UsageError(f"{given!r} cannot be read: {_why(error)}") from None
