"""A URL in; a folder of objects, or objects by name, out: in byte order, folder by folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from common.datasets.base import Tally, display_path, is_image_name, with_slash
from common.datasets.files import Files
from common.datasets.folder import Choice, Everything
from common.datasets.path_list.listed import Listed
from common.datasets.path_list.lists import LIST_SUFFIXES, parse_list
from common.datasets.pattern import Pattern
from common.datasets.sieve import RUN_PICTURE, RUN_TABLES, Sieve
from common.errors import ItemCode, ItemError, ManyeyesError, UsageError
from common.limits import MAX_PATH_BYTES
from common.storage import retry
from common.storage.retry import Kind
from common.storage.urls import canonical, common_parent, glob_base, parent


@dataclass(frozen=True)
class RemoteFolder:
    """All images below a URL that ends in '/', or those of a choice."""

    prefix: bytes
    choice: Choice = field(default_factory=Everything)

    def paths(self, sieve: Sieve) -> Iterator[bytes]:
        """Names come as the server lists them, a page at a time where it has pages.

        Raises UsageError where the folder itself cannot be listed, ManyeyesError where one below it cannot be for now.
        """
        tally, spelled = sieve.tally, self.choice.spelled
        levels = [_Level(self.prefix, _keys(self.prefix, sieve, spelled))]
        skip = len(self.prefix)
        while levels:
            level = levels[-1]
            try:
                key = next(level.keys, None)
            except ItemError as error:
                _passed_over(level, len(levels) == 1, error, tally)
                key = None
            if key is None:
                levels.pop()
                continue
            level.begun = True
            path = level.prefix + key
            if not path.endswith(b"/"):
                if self.choice.takes(path[skip:]):
                    yield path
            elif len(path) > MAX_PATH_BYTES:
                # Pages can be made up without an end, each below the other.
                tally.unreadable += 1
            elif self.choice.enters(path[skip:-1]):
                levels.append(_Level(path, _keys(path, sieve, spelled)))


@dataclass(slots=True)
class _Level:
    """One folder on the way down: what is left of it, and whether there was anything."""

    prefix: bytes
    keys: Iterator[bytes]
    begun: bool = False


def _passed_over(level: _Level, top: bool, error: ItemError, tally: Tally) -> None:
    """A folder that is closed is counted. One that breaks off is not: what it has would be lost in silence."""
    if top and not level.begun:
        raise UsageError(f"{display_path(level.prefix)} cannot be listed: {_why(error)}") from None
    if level.begun or error.code not in (ItemCode.NOT_FOUND, ItemCode.NO_PERMISSION):
        raise ManyeyesError(f"{display_path(level.prefix)} cannot be listed: {error}") from None
    tally.unreadable += 1


def _keys(folder: bytes, sieve: Sieve, spelled: frozenset[bytes]) -> Iterator[bytes]:
    """Of the images and folders. With its slash, a folder stands where the paths below it do."""
    tables = 0
    for name in retry.names(folder):
        is_folder = name.endswith(b"/")
        tables += name in RUN_TABLES
        if name == RUN_PICTURE and tables == len(RUN_TABLES):
            # A published run: by the order of names, its tables come before its one picture.
            sieve.tally.run_dirs += 1
        elif name.startswith(b"/"):
            sieve.tally.hidden += 1
        elif sieve.passes_over(folder, name.removesuffix(b"/"), is_folder, spelled):
            continue
        elif is_folder or is_image_name(name):
            yield name
        else:
            sieve.tally.not_image(name)


def _why(error: ItemError) -> str:
    """For the user, of what was just typed."""
    match error.code:
        case ItemCode.NOT_FOUND:
            return "there is nothing; check its spelling"
        case ItemCode.NO_PERMISSION:
            return "no permission; give this machine the credentials for it, as docs/datasets.md has it"
    return str(error)


def named(urls: Iterable[bytes]) -> Files:
    """URLs of one scheme, at least one. They are items whether there is something or not."""
    names = tuple(sorted(urls))
    ends = [parent(names[0]), parent(names[-1])]
    return Files(with_slash(common_parent(ends)), names)


def open_url(given: str) -> RemoteFolder | bytes:
    """A folder or glob, or a single object's own URL.

    Raises UsageError where there is nothing, or nothing that can be read.
    """
    url = canonical(given.encode(errors="surrogateescape"))
    retry.check(url)
    base, segments = glob_base(url)
    if segments:
        return RemoteFolder(base, Pattern(segments))
    if url.endswith(b"/") or url.count(b"/") == 2:
        return RemoteFolder(with_slash(url))
    try:
        if retry.kind(url) is Kind.FOLDER:
            return RemoteFolder(with_slash(url))
        return url
    except ItemError as error:
        raise UsageError(f"{given!r} cannot be read: {_why(error)}") from None


def is_list(given: str) -> bool:
    """Whether a URL is a list's, if it is no folder's; its server is not asked."""
    url = canonical(given.encode(errors="surrogateescape"))
    return url.lower().endswith(LIST_SUFFIXES) and not glob_base(url)[1]


def list_at(url: bytes, given: str) -> Listed:
    """The objects that a list names which lies at a URL. Raises UsageError where it cannot be read."""
    try:
        return parse_list(retry.read(url), [parent(url)], repr(given))
    except ItemError as error:
        raise UsageError(f"{given!r} cannot be read: {_why(error)}") from None
