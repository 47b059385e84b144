"""Takes the bytes of a list apart into its lines, whatever text encoding and line ends it has."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from common.errors import UsageError

#: The longer mark first: UTF-32's begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
#: Three letters in a row with a NUL after, or before, each of them.
_LITTLE, _BIG = re.compile(rb"(?:..)*?(?:[^\0]\0){3}", re.DOTALL), re.compile(rb"(?:..)*?(?:\0[^\0]){3}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Lines:
    """Those of a list, blank ones too, without their ends; text of UTF-16 and UTF-32 as UTF-8, all else as it is."""

    entries: list[bytes]
    #: NUL-separated: a program wrote names as they are.
    exact: bool


def take_apart(data: bytes, name: str) -> Lines:
    """Raises UsageError, with the list's `name`, where nothing is in it or its text is damaged."""
    data = _as_utf8(data, name).removeprefix(codecs.BOM_UTF8)
    if data.endswith(b"\n\x1a"):
        # The mark with which DOS ends a text.
        data = data[:-1]
    exact = b"\0" in data
    separator = b"\0" if exact else b"\n" if b"\n" in data else b"\r"
    ending = b"" if exact else b"\r"
    entries = [entry.removesuffix(ending) for entry in data.split(separator)]
    if not data.strip(b" \t\r\n\0"):
        raise UsageError(f"list {name} names no files: put one path on each line")
    return Lines(entries, exact)


def _as_utf8(data: bytes, name: str) -> bytes:
    marked = next(((mark, codec) for mark, codec in _MARKS if data.startswith(mark)), None)
    mark, codec = marked or (b"", _unmarked(data))
    if not codec:
        return data
    try:
        return data[len(mark) :].decode(codec).encode()
    except UnicodeError as error:
        raise UsageError(f"list {name} is {codec.upper()} and damaged ({error}); save it as UTF-8") from None


def _unmarked(data: bytes) -> str:
    """The codec of text whose letters are two or four bytes and that no mark begins; empty for any other.

    In a NUL-separated list, names of one letter would have to follow each other for that.
    """
    if b"\0" not in data:
        return ""
    for codec in ("utf-32-le", "utf-32-be"):
        try:
            data.decode(codec)
            return codec
        except UnicodeError:
            continue
    if len(data) % 2:
        return ""
    # Letters such as U+4E00 have their NUL on the other side.
    even, odd = data[::2].count(0), data[1::2].count(0)
    if odd > 4 * even and _LITTLE.match(data):
        return "utf-16-le"
    return "utf-16-be" if even > 4 * odd and _BIG.match(data) else ""
