"""Lists the items of one dataset, in the order of their paths' bytes."""

# Paths are bytes here, and pathlib holds text only.

from __future__ import annotations

import heapq
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence

from common.datasets.base import Item, ListingCounts, Source, display_path, with_slash
from common.datasets.exclude import Exclude
from common.datasets.files import Files
from common.datasets.path_list.listed import Listed
from common.datasets.sieve import Sieve
from common.errors import UsageError
from common.limits import MAX_PATH_BYTES
from common.redaction import is_signed
from common.storage.urls import common_parent, is_url


class Dataset:
    """What a user submits. Listing it again gives the same items in the same order, if the disk is the same."""

    def __init__(
        self, paths: tuple[str, ...], sources: Sequence[Source], listed: Listed, exclude: Sequence[str] = ()
    ) -> None:
        """Raises UsageError for a pattern of `exclude` that can match nothing."""
        #: What was given, absolute; `open_dataset` takes it again. STDIN stays as it is: see `listed`.
        self.paths = paths
        #: Absolute, or a URL: the folder, or the common parent of all that was given.
        self.root = _root([source.prefix for source in sources])
        self._sources = sources
        self._listed = listed
        self._exclude = Exclude(exclude, self.root) if exclude else None
        self._sieve = Sieve(self._exclude)

    @property
    def counts(self) -> ListingCounts:
        """Of the latest `items()`, as far as it has come."""
        return self._sieve.tally.counts()

    @property
    def listed(self) -> Listed:
        """What its lists name, for `open_dataset`: what a line means depends on what is there now."""
        return self._listed

    def items(self) -> Iterator[Item]:
        """Strictly rising by the bytes of the path. Raises UsageError for a path of more than MAX_PATH_BYTES."""
        sieve = self._sieve = Sieve(self._exclude)
        tally, skip = sieve.tally, len(with_slash(self.root))
        tally.list_lines = self._listed.skipped
        last = b""
        for path in _merged(self._sources, sieve):
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


def _root(prefixes: Sequence[bytes]) -> bytes:
    return common_parent(prefixes) if is_url(prefixes[0]) else os.path.commonpath(prefixes)


def _merged(sources: Iterable[Source], sieve: Sieve) -> Iterator[bytes]:
    """All paths in order. Only sources that overlap are open at the same time."""
    group: list[Source] = []
    for source in sorted(sources, key=lambda source: source.prefix):
        if group and not source.prefix.startswith(group[0].prefix):
            yield from heapq.merge(*(member.paths(sieve) for member in group))
            group = []
        group.append(source)
    yield from heapq.merge(*(member.paths(sieve) for member in group))
