"""The words that every kind of dataset shares: an item, what was passed over, and a path as bytes and as text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Protocol

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


@dataclass(slots=True)
class Tally:
    """The counts while a listing runs."""

    items: int = 0
    hidden: int = 0
    not_images: int = 0
    repeated: int = 0
    link_loops: int = 0
    unreadable: int = 0

    def counts(self) -> ListingCounts:
        return ListingCounts(**asdict(self))


class Source(Protocol):
    """One kind of dataset: it can be listed any number of times, in the same order."""

    @property
    def prefix(self) -> bytes:
        """Absolute folder, ending in '/', that every path of it begins with."""

    def paths(self, tally: Tally) -> Iterator[bytes]:
        """Absolute paths, never falling in the order of their bytes. What is passed over goes into `tally`."""


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
