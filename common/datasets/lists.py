"""A list of paths in, a file or a stream, one path a line or NUL-separated; absolute paths, or URLs, out."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from common.datasets.base import with_slash
from common.datasets.files import absolute
from common.datasets.urls import canonical, is_url
from common.errors import UsageError

#: Name endings, lower case, that make a file given by name a list of paths.
LIST_SUFFIXES = (b".txt", b".lst", b".list")

_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def parse_list(data: bytes, folder: bytes, name: str) -> list[bytes]:
    """The absolute paths of a list; relative ones are relative to `folder`. Every byte but the separators counts.

    URLs are taken as they are; `folder` may be one.

    Raises UsageError, with the list's `name`, where it names nothing or is UTF-16.
    """
    if data.startswith(_UTF16_MARKS):
        raise UsageError(f"list {name} is UTF-16: save it as UTF-8")
    data = data.removeprefix(_UTF8_MARK)
    separator, ending = (b"\0", b"") if b"\0" in data else (b"\n", b"\r")
    entries = (entry.removesuffix(ending) for entry in data.split(separator))
    paths = [_whole(entry, folder) for entry in entries if entry.strip()]
    if not paths:
        raise UsageError(f"list {name} names no files: put one path on each line")
    return paths


def _whole(entry: bytes, folder: bytes) -> bytes:
    if is_url(entry.lstrip()):
        return canonical(entry)
    return canonical(with_slash(folder) + entry) if is_url(folder) else absolute(entry, folder)


def write_list(file: Path, paths: Iterable[bytes]) -> None:
    """NUL-separated, so that any path can be read back."""
    with file.open("wb") as out:
        out.writelines(path + b"\0" for path in paths)
