"""The words that every kind of dataset shares: an item, what was passed over, and a path as bytes and as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from common.datasets.sieve import Sieve

#: Name endings, lower case, that folders and globs take for images: what a worker can decode.
IMAGE_SUFFIXES = frozenset(
    b"jpg jpeg jpe jfif mpo png apng webp gif bmp dib tif tiff jp2 j2k avif heic heif hif "
    b"pbm pgm ppm pnm pam pfm".split()
)


@dataclass(frozen=True, slots=True)
class Item:
    """One image to look at."""

    #: Relative to the dataset's root, separated by '/', as the file system has it.
    path: bytes


@dataclass(frozen=True, slots=True)
class ListingCounts:
    """What a listing found, and what it passed over."""

    items: int = 0
    #: Files and folders whose names begin with a dot; a hidden folder counts once.
    hidden: int = 0
    #: Files of folders and globs that are no image by their name.
    not_images: int = 0
    #: Times that a path was met again.
    repeated: int = 0
    #: Links to a folder that they are in, and links to themselves.
    link_loops: int = 0
    #: Folders below the given ones that could not be listed.
    unreadable: int = 0
    #: What network storage, macOS and Windows leave between the images, such as thumbnails; a folder counts once.
    leftovers: int = 0
    #: Run directories of manyeyes, and published copies of them.
    run_dirs: int = 0
    #: Files and folders that --exclude names; a folder counts once.
    excluded: int = 0
    #: Lines of lists that are no paths.
    list_lines: int = 0
    #: --exclude's patterns that have matched nothing.
    unmatched: tuple[str, ...] = ()
    #: The most frequent name endings of `not_images`, with how many files have each; "" is a name without one.
    endings: dict[str, int] = field(default_factory=dict, compare=False)


@dataclass(slots=True)
class Tally:
    """The counts while a listing runs."""

    items: int = 0
    hidden: int = 0
    repeated: int = 0
    link_loops: int = 0
    unreadable: int = 0
    leftovers: int = 0
    run_dirs: int = 0
    list_lines: int = 0
    #: Of each of --exclude's patterns.
    excluded: Counter[str] = field(default_factory=Counter)
    endings: Counter[bytes] = field(default_factory=Counter)

    def not_image(self, name: bytes) -> None:
        ending = name.lower().rpartition(b".")[2] if b"." in name else b""
        # Names such as `log.20261127-101530` would make as many endings as there are files.
        known = ending in self.endings or len(self.endings) < _MAX_ENDINGS
        self.endings[ending if known and len(ending) <= _MAX_ENDING else b""] += 1

    def counts(self) -> ListingCounts:
        """As far as the listing has come."""
        return ListingCounts(
            items=self.items,
            hidden=self.hidden,
            not_images=self.endings.total(),
            repeated=self.repeated,
            link_loops=self.link_loops,
            unreadable=self.unreadable,
            leftovers=self.leftovers,
            run_dirs=self.run_dirs,
            excluded=self.excluded.total(),
            list_lines=self.list_lines,
            unmatched=tuple(pattern for pattern, times in self.excluded.items() if not times),
            endings={
                display_path(b"." + ending if ending else b""): times
                for ending, times in sorted(self.endings.items(), key=lambda one: (-one[1], one[0]))[:_SHOWN_ENDINGS]
            },
        )


#: Endings that are counted apart, bytes of one, and how many are told.
_MAX_ENDINGS, _MAX_ENDING, _SHOWN_ENDINGS = 256, 12, 5


class Source(Protocol):
    """One kind of dataset: it can be listed any number of times, in the same order."""

    @property
    def prefix(self) -> bytes:
        """Absolute folder, ending in '/', that every path of it begins with."""

    def paths(self, sieve: Sieve) -> Iterator[bytes]:
        """Absolute paths, never falling in the order of their bytes. The sieve decides what is passed over."""


def is_image_name(name: bytes) -> bool:
    """Whether folders and globs take a file of this name."""
    stem, _, suffix = name.rpartition(b".")
    return bool(stem) and suffix.lower() in IMAGE_SUFFIXES


def with_slash(folder: bytes) -> bytes:
    return folder if folder.endswith(b"/") else folder + b"/"


def display_path(path: bytes) -> str:
    r"""The tables' text of a path: UTF-8, with bytes that are not as `\xff`."""
    return path.decode("utf-8", "backslashreplace")


def pack_path(path: bytes) -> str:
    """A path as text that goes through JSON unharmed: undecodable bytes become lone surrogates."""
    return path.decode("utf-8", "surrogateescape")


def unpack_path(text: str) -> bytes:
    """The bytes that `pack_path` was given."""
    return text.encode("utf-8", "surrogateescape")
