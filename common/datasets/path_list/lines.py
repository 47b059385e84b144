"""Takes the bytes of a list apart into its lines, whatever text encoding and line ends it has."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from common.datasets.path_list.readings import bare
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
_EXCEL = re.compile(rb"\"?sep=.\"?", re.IGNORECASE)
#: Bytes that no text has, nor a name of a file but by accident; those of the beginning that are looked at; and one of
#: how many may be such a byte.
_CONTROLS = bytes({*range(1, 9), *range(14, 32), 127} - {0x1A, 0x1B})
_BEGIN, _MOST_CONTROLS = 4096, 25


@dataclass(frozen=True, slots=True)
class Lines:
    """Those of a list, blank ones too, without their ends; text of UTF-16 and UTF-32 as UTF-8, all else as it is."""

    entries: list[bytes]
    #: NUL-separated: a program wrote names as they are.
    exact: bool

    def is_comment(self, line: bytes, mark: bytes = b"#") -> bool:
        """Also the line with which Excel is told what separates columns."""
        if self.exact:
            return False
        text = bare(line)
        return text.startswith(mark) or _EXCEL.fullmatch(text) is not None

    def after(self, number: int) -> bytes:
        """The first line after so many that is not blank; empty where there is none."""
        return next((one for one in self.entries[number:] if one.strip()), b"")


def take_apart(data: bytes, name: str) -> Lines:
    """Raises UsageError, with the list's `name`, where nothing is in it or its text is damaged."""
    data = _as_utf8(data, name).removeprefix(codecs.BOM_UTF8)
    begin = data[:_BEGIN]
    if len(begin) - len(begin.translate(None, _CONTROLS)) > len(begin) // _MOST_CONTROLS:
        raise UsageError(f"list {name} is no text: put one path on each line of a text file")
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
