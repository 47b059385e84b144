"""Folders, globs, files, lists and URLs in; the items of one dataset out, in the order of their paths' bytes."""

# Paths are bytes here, and pathlib holds text only.
# ruff: noqa: PTH100, PTH112, PTH116, PTH118, PTH120

from __future__ import annotations

import glob
import heapq
import itertools
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from common.datasets import files, remote, stores
from common.datasets.allowed import Allowed, of_owner, url_root
from common.datasets.base import (
    IMAGE_SUFFIXES,
    Item,
    ListingCounts,
    Source,
    Tally,
    display_path,
    pack_path,
    unpack_path,
    with_slash,
)
from common.datasets.files import Files, absolute
from common.datasets.folder import Folder
from common.datasets.globs import open_glob
from common.datasets.lists import LIST_SUFFIXES, parse_list, write_list
from common.datasets.remote import RemoteFolder
from common.datasets.urls import common_parent, is_url, scheme_of, whole
from common.errors import ItemError, UsageError
from common.limits import MAX_PATH_BYTES
from common.secrecy import is_signed

__all__ = [
    "IMAGE_SUFFIXES",
    "STDIN",
    "Allowed",
    "Dataset",
    "Item",
    "ListingCounts",
    "display_path",
    "fetch",
    "glance",
    "is_url",
    "of_owner",
    "open_dataset",
    "pack_path",
    "unpack_path",
    "url_root",
    "whole",
]

#: What stands for a list that comes by standard input.
STDIN = "-"


class Dataset:
    """What a user submits. Listing it again gives the same items in the same order, if the disk is the same."""

    def __init__(self, paths: tuple[str, ...], sources: Sequence[Source], stdin_names: Sequence[bytes] = ()) -> None:
        #: What was given, absolute; `open_dataset` takes it again. STDIN stays as it is: see `keep_stdin`.
        self.paths = paths
        #: Absolute, or a URL: the folder, or the common parent of all that was given.
        self.root = _root([source.prefix for source in sources])
        self._sources = sources
        self._stdin_names = stdin_names
        self._tally = Tally()

    @property
    def counts(self) -> ListingCounts:
        """Of the latest `items()`, as far as it has come."""
        return self._tally.counts()

    def items(self) -> Iterator[Item]:
        """Strictly rising by the bytes of the path. Raises UsageError for a path of more than MAX_PATH_BYTES."""
        tally = self._tally = Tally()
        skip = len(with_slash(self.root))
        last = b""
        for path in _merged(self._sources, tally):
            if path == last:
                tally.repeated += 1
                continue
            last = path
            if len(path) - skip > MAX_PATH_BYTES:
                raise UsageError(
                    f"path {display_path(path[skip : skip + 60])}... has {len(path) - skip} bytes; "
                    f"at most {MAX_PATH_BYTES} are taken: shorten it"
                )
            tally.items += 1
            yield Item(path[skip:])

    def signed(self) -> str | None:
        """The first of its URLs that whoever reads it may use; None where there is none."""
        named = (name for source in self._sources if isinstance(source, Files) for name in source.names)
        for url in itertools.chain(map(os.fsencode, self.paths), named):
            if b"?" in url and is_url(url) and is_signed(url):
                return display_path(url)
        return None

    def keep_stdin(self, file: Path) -> Dataset:
        """The same dataset with its list on standard input in `file` (named *.list), so that it can be reopened.

        Without such a list nothing is written.
        """
        if STDIN not in self.paths:
            return self
        write_list(file, self._stdin_names)
        paths = tuple(os.path.abspath(file) if path == STDIN else path for path in self.paths)
        return Dataset(paths, self._sources)


def open_dataset(paths: Sequence[str], cwd: Path | None = None, stdin: BinaryIO | None = None) -> Dataset:
    """Find out what each path is, and that there is something in it.

    Raises UsageError, naming the path: it does not exist, cannot be read, or holds, lists or matches no image.
    """
    folder = os.fsencode(Path.cwd() if cwd is None else cwd)
    sources: list[Source] = []
    named: list[bytes] = []
    stdin_names: list[bytes] = []
    given: list[str] = []
    # Before any server is asked.
    _check_one_kind({scheme for path in paths if (scheme := scheme_of(os.fsencode(path)))})
    for path in paths:
        if path == STDIN:
            # A second `-` finds the stream at its end: the names were all read the first time.
            stdin_names = stdin_names or parse_list((stdin or sys.stdin.buffer).read(), folder, "on standard input")
            named += stdin_names
            given.append(STDIN)
            continue
        if is_url(os.fsencode(path)):
            opened = remote.open_url(path)
            if isinstance(opened, list):
                named += opened
            else:
                sources.append(_not_empty(opened, path))
            given.append(path)
            continue
        whole = absolute(os.fsencode(path), folder)
        status = _status(whole, path)
        if status is None:
            whole = os.path.join(glob.escape(folder), os.fsencode(path))
            sources.append(_glob(whole, path))
        elif stat.S_ISDIR(status.st_mode):
            sources.append(_folder(whole, path))
        else:
            named += _file(whole, path, status)
        given.append(os.fsdecode(whole))
    _check_one_kind({scheme_of(path) for path in named} | {scheme_of(source.prefix) for source in sources})
    if named:
        sources.append(remote.named(named) if is_url(named[0]) else Files.named(named))
    if not sources:
        raise UsageError("no dataset: give a folder, a glob, an image or a list of paths")
    return Dataset(tuple(given), sources, stdin_names)


def fetch(root: bytes, path: bytes, allowed: Allowed | None = None) -> bytes:
    """One item's bytes, as they are, in any thread and any process: whatever it is, or what a worker is allowed.

    Raises ItemError: not_found, forbidden, no_permission, not_a_file, too_large, read_error, out_of_memory; of a URL
    also missing_package, where this machine lacks what reads it.
    """
    if is_url(root):
        return stores.read(whole(root, path), allowed=allowed)
    return files.fetch(root, path, allowed)


def glance(item: bytes) -> bytes | None:
    """The bytes of an item, by its absolute path or URL, if its owner may read them and has them at once."""
    try:
        if is_url(item):
            return stores.read(item, stores.Patience.glance(), of_owner(item))
        return files.fetch(b"/", item.lstrip(b"/"))
    except ItemError:
        return None


def _root(prefixes: Sequence[bytes]) -> bytes:
    return common_parent(prefixes) if is_url(prefixes[0]) else os.path.commonpath(prefixes)


def _check_one_kind(schemes: set[bytes]) -> None:
    if len(schemes) > 1:
        kinds = " and ".join(display_path(scheme) + "://" if scheme else "local paths" for scheme in sorted(schemes))
        raise UsageError(f"one run takes items of one kind, not {kinds}: submit them as runs of their own")


def _status(path: bytes, given: str) -> os.stat_result | None:
    """None for a glob. Raises UsageError where there is nothing to open."""
    try:
        return os.stat(path)
    except FileNotFoundError:
        if os.path.lexists(path):
            raise UsageError(f"path {given!r} is a link to nothing: mend it or leave it out") from None
        if glob.has_magic(given):
            return None
        raise UsageError(f"path {given!r} does not exist: check its spelling") from None
    except (OSError, ValueError) as error:
        reason = os.strerror(error.errno or 0) if isinstance(error, OSError) else str(error)
        raise UsageError(f"path {given!r} cannot be opened: {reason}") from None


def _file(path: bytes, given: str, status: os.stat_result) -> list[bytes]:
    """The paths that a file stands for: those that it lists, or itself."""
    if not stat.S_ISREG(status.st_mode):
        raise UsageError(f"path {given!r} is neither a folder nor a file: pipe a list in with '{STDIN}'")
    if not path.lower().endswith(LIST_SUFFIXES):
        return [path]
    try:
        data = Path(os.fsdecode(path)).read_bytes()
    except OSError as error:
        raise UsageError(f"list {given!r} cannot be read: {os.strerror(error.errno or 0)}") from None
    return parse_list(data, os.path.dirname(path), repr(given))


def _not_empty(source: RemoteFolder, given: str) -> RemoteFolder:
    tally = Tally()
    if next(source.paths(tally), None) is None:
        raise UsageError(f"{given!r} {_nothing_in(tally)}")
    return source


def _glob(pattern: bytes, given: str) -> Folder:
    source = open_glob(pattern)
    if not os.path.isdir(source.prefix) or next(source.paths(Tally()), None) is None:
        raise UsageError(f"glob {given!r} matches no image: check it, and quote it against the shell")
    return source


def _folder(path: bytes, given: str) -> Folder:
    source = Folder.at(path)
    tally = Tally()
    if next(source.paths(tally), None) is not None:
        return source
    raise UsageError(f"folder {given!r} {_nothing_in(tally)}")


def _nothing_in(tally: Tally) -> str:
    passed_over = [
        f"{count} {what}"
        for count, what in (
            (tally.not_images, "other files"),
            (tally.hidden, "hidden"),
            (tally.link_loops, "link loops"),
            (tally.unreadable, "unreadable folders"),
        )
        if count
    ]
    if not passed_over:
        return "is empty: give one with images in it"
    kinds = ", ".join(sorted(pack_path(suffix) for suffix in IMAGE_SUFFIXES))
    return f"holds no images ({', '.join(passed_over)}): taken are {kinds}"


def _merged(sources: Iterable[Source], tally: Tally) -> Iterator[bytes]:
    """All paths in order. Only sources that overlap are open at the same time."""
    group: list[Source] = []
    for source in sorted(sources, key=lambda source: source.prefix):
        if group and not source.prefix.startswith(group[0].prefix):
            yield from heapq.merge(*(member.paths(tally) for member in group))
            group = []
        group.append(source)
    yield from heapq.merge(*(member.paths(tally) for member in group))
