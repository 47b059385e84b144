"""The ways in which a line of a list can name a file when it is no plain path: quotes, labels, backslashes, ..."""

from __future__ import annotations

import csv
import os
import re
import unicodedata
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from common.datasets.base import IMAGE_SUFFIXES, is_image_name, pack_path, unpack_path
from common.errors import UsageError
from common.storage.urls import is_url
from common.typed_path import expand

#: A part of a line, or another spelling of it; None where it has none of that kind.
Step = Callable[[bytes], bytes | None]

#: Encodings in which a list may have a name that the disk has in another, the most frequent first.
_CODECS = (
    *("cp1252", "latin-1", "cp1250", "cp1251", "koi8-r", "cp1253", "cp1254", "cp850", "cp437", "mac-roman"),
    *("cp932", "euc-jp", "gb18030", "big5", "euc-kr"),
)
#: Of tables.
SEPARATORS = (b"\t", b",", b";", b"|")
_SUFFIXES = b"|".join(sorted(IMAGE_SUFFIXES, reverse=True))
#: An image's name, then what is no part of it.
_IMAGE_FIRST = re.compile(rb"(.*?\.(?:" + _SUFFIXES + rb")[\"']?)(?:\s|[,;|]).*", re.IGNORECASE | re.DOTALL)
#: Labels before the path: numbers, or the mark of an enumeration.
_LABELS_FIRST = re.compile(rb"(?:[-*]|[-+]?\d+(?:\.\d*)?)(?:\s+[-+]?\d+(?:\.\d*)?)*\s+(\S.*)", re.DOTALL)
#: Lower case. What people call the column of a table that has its paths.
_HEADS = frozenset(
    b"path paths file files filename filenames file_name filepath file_path image images image_path image_file "
    b"image_name imagepath img img_path name url uri image_url src".split()
)
#: Also those of word processors.
_QUOTES = tuple(tuple(pair.encode() for pair in pairs) for pairs in ('""', "''", "``", "\u201c\u201d", "\u2018\u2019"))
#: Blanks around it, also those that do not break and the marks without a width that programs write.
_BLANK = rb"(?:\s|" + b"|".join(one.encode() for one in "\u00a0\ufeff\u200b\u200e\u202a\u202c") + rb")*"
_AROUND = re.compile(_BLANK + rb"(.*?)" + _BLANK, re.DOTALL)
_DRIVE = re.compile(rb"([A-Za-z]):[\\/]+(.*)", re.DOTALL)
#: A line's last numbers, and how many are cut from it at most: labels. A path may have blanks in it.
_NUMBERS_LAST, _MAX_NUMBERS = re.compile(rb"(?:\s+[-+]?[\d.,]+)+$"), 8
_IMAGE = re.compile(rb"\.(?:" + _SUFFIXES + rb")(?![A-Za-z0-9])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Reading:
    """What part of a line is the path, how that is spelled, and in which encoding."""

    part: Step
    spelling: Step
    encoding: Step

    def text(self, line: bytes) -> bytes | None:
        found: bytes | None = line
        for step in (self.part, self.spelling, self.encoding):
            found = step(found) if found else None
        return found or None


def readings(line: bytes) -> Iterator[Reading]:
    """All that differ from the line itself, the plainest first."""
    for part in parts(line):
        text = part(line)
        if text is None:
            continue
        for spelling in (as_it_is, homeward, with_slashes):
            spelled = spelling(text)
            if spelled is not None:
                yield from (Reading(part, spelling, encoding) for encoding in _encodings(spelled))


def parts(line: bytes) -> Iterator[Step]:
    yield bare
    yield unquoted
    yield before_label
    for separator in SEPARATORS:
        columns = columns_of(line, separator) if separator in line else []
        # Beside an image's name, another column may be the path of something else that exists.
        images = [number for number, column in enumerate(columns) if is_image_name(column)]
        yield from (Column(separator, number) for number in images or range(len(columns)))
    if numbers := _NUMBERS_LAST.search(bare(line)):
        yield from (WithoutLast(number) for number in range(1, min(len(numbers[0].split()), _MAX_NUMBERS) + 1))
    yield after_labels


def as_it_is(text: bytes) -> bytes | None:
    return text


def bare(line: bytes) -> bytes:
    """Without blanks around."""
    line = line.strip()
    found = None if line.isascii() else _AROUND.fullmatch(line)
    return found[1] if found else line


def unquoted(line: bytes) -> bytes | None:
    text = bare(line)
    for begin, end in _QUOTES:
        if len(text) > len(begin + end) and text.startswith(begin) and text.endswith(end):
            return text[len(begin) : -len(end)]
    return None


def before_label(line: bytes) -> bytes | None:
    """`a.jpg 0`, `a.jpg 12,40,60,90,2 ...`"""
    found = _IMAGE_FIRST.fullmatch(bare(line))
    return unquoted(found[1]) or found[1] if found else None


def after_labels(line: bytes) -> bytes | None:
    """`0 a.jpg`, `- a.jpg`"""
    found = _LABELS_FIRST.fullmatch(bare(line))
    return found[1] if found else None


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table, quoted as CSV has it or not."""

    separator: bytes
    number: int

    def __call__(self, line: bytes) -> bytes | None:
        columns = columns_of(line, self.separator)
        return columns[self.number] if self.number < len(columns) else None


@dataclass(frozen=True, slots=True)
class WithoutLast:
    """All but so many numbers at the end."""

    numbers: int

    def __call__(self, line: bytes) -> bytes | None:
        found = bare(line).rsplit(maxsplit=self.numbers)
        enough = len(found) > self.numbers and _NUMBERS_LAST.fullmatch(b" " + b" ".join(found[1:]))
        return found[0] if enough else None


def names_another(line: bytes, part: bytes) -> bool:
    """Whether a line has, beside the part of it that is taken, something else that is an image by its name."""
    before, taken, after = line.partition(part)
    return bool(taken) and _IMAGE.search(before + b" " + after) is not None


@dataclass(frozen=True, slots=True)
class Head:
    """The first line of a table, which names no file; and which columns have the paths, if their names say so."""

    paths: tuple[Column, ...] = ()


def head_of(line: bytes, following: bytes) -> Head | None:
    """Of a line that is no file itself; None where it is not the head of a table or of a single column."""
    if (unquoted(line) or bare(line)).lower() in _HEADS:
        return Head()
    # A row with a path, whose file need not be there, or with a URL.
    if b"/" in line or b"." in line:
        return None
    for separator in SEPARATORS:
        head, row = columns_of(line, separator), columns_of(following, separator)
        if len(head) > 1:
            if named := [number for number, word in enumerate(head) if word.lower() in _HEADS]:
                return Head(tuple(Column(separator, number) for number in named))
            if len(row) == len(head) and any(is_image_name(one) or is_url(one) for one in row):
                return Head()
    return None


def columns_of(line: bytes, separator: bytes) -> list[bytes]:
    """Without quotes and blanks around."""
    try:
        # Latin-1: any byte there and back.
        [row] = csv.reader(
            [bare(line).decode("latin-1")], delimiter=separator.decode(), skipinitialspace=True, strict=True
        )
    except (csv.Error, ValueError):
        return []
    columns = (column.encode("latin-1") for column in row)
    return [unquoted(column) or bare(column) for column in columns]


def homeward(text: bytes) -> bytes | None:
    """`~/a.jpg`, `file:///a.jpg`"""
    if text.startswith(b"~"):
        try:
            found = unpack_path(expand(pack_path(text), "/"))
        except UsageError:
            return None
        return found if found != text else None
    if text[:7].lower() == b"file://":
        parts = urllib.parse.urlsplit(pack_path(text))
        return urllib.parse.unquote_to_bytes(unpack_path(parts.path)) if parts.netloc in ("", "localhost") else None
    return None


def with_slashes(text: bytes) -> bytes | None:
    r"""`images\a.jpg`, and `C:\images\a.jpg` where WSL has that drive."""
    drive = _DRIVE.fullmatch(text)
    if drive:
        return b"/mnt/" + drive[1].lower() + b"/" + drive[2].replace(b"\\", b"/")
    if b"\\" not in text or text.startswith(b"\\\\"):
        return None
    slashed = text.replace(b"\\", b"/")
    return homeward(slashed) or slashed


def is_of_windows(text: bytes) -> bool:
    """Whether it begins with a drive's letter or names a host, as no path here does."""
    return text.startswith(b"\\\\") or _DRIVE.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Recoded:
    """The same letters in another encoding."""

    source: str
    target: str

    def __call__(self, text: bytes) -> bytes | None:
        try:
            found = text.decode(self.source).encode(self.target)
        except UnicodeError:
            return None
        return found if found != text else None


@dataclass(frozen=True, slots=True)
class Composed:
    """Accents as letters of their own (NFD, as macOS writes them) or not (NFC), in folders and in the name."""

    folders: str
    name: str

    def __call__(self, text: bytes) -> bytes | None:
        try:
            head, tail = os.path.split(text.decode())
        except UnicodeError:
            return None
        form = unicodedata.normalize
        found = os.path.join(form(self.folders, head), form(self.name, tail)).encode()  # type: ignore[arg-type]  # noqa: PTH118
        return found if found != text else None


_COMPOSED = tuple(Composed(*forms) for forms in (("NFC",) * 2, ("NFD",) * 2, ("NFC", "NFD"), ("NFD", "NFC")))


def _encodings(text: bytes) -> Iterator[Step]:
    yield as_it_is
    if text.isascii():
        return
    try:
        text.decode()
    except UnicodeError:
        yield from (Recoded(codec, "utf-8") for codec in _CODECS)
        return
    yield from _COMPOSED
    yield from (Recoded("utf-8", codec) for codec in _CODECS)
