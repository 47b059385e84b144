"""Reads a list of paths, a file or a stream: finds out which file each line means, and says what was no plain path."""

# Paths are bytes here, and pathlib holds text only.
# ruff: noqa: PTH112

from __future__ import annotations

import itertools
import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from common.datasets.base import display_path, is_image_name, with_slash
from common.datasets.files import absolute
from common.datasets.lines import Lines, take_apart
from common.datasets.readings import (
    Head,
    Reading,
    as_it_is,
    head_of,
    homeward,
    is_of_windows,
    names_another,
    readings,
    unquoted,
)
from common.datasets.urls import canonical, is_url
from common.errors import UsageError
from common.limits import MAX_PATH_BYTES

#: Name endings, lower case, that make a file given by name a list of paths.
LIST_SUFFIXES = (b".txt", b".lst", b".list", b".csv", b".tsv")

#: Lines that are all looked for on the disk. Of those after them, a path without anything odd in it is taken at its
#: word where all before it were: on a network disk each look takes a third of a millisecond.
_LOOKED_FOR = 20_000
_PLAIN = re.compile(rb"[A-Za-z0-9_./+=@%-]+")
#: Lines that are not there in any reading, after which only readings are tried in which others are.
_PATIENCE = 1_000
#: Blanks within a name are fine, but what comes after an image's name and a blank is a label.
_URL_LABEL = re.compile(rb"(\S+)\s+[^/]*")


@dataclass(slots=True)
class Listed:
    """What a list names: absolute paths or URLs, and what its user should know of how it was read."""

    names: list[bytes]
    notes: list[str] = field(default_factory=list)


def parse_list(data: bytes, folders: Sequence[bytes], name: str, unseen: bool = False) -> Listed:
    """The files of a list, called `name` in messages; relative paths are relative to one of `folders`, best first.

    A line that exists as it is means that, whatever is in it. `unseen`: only workers see the files; nothing is looked
    for. The only folder may be a URL: of URLs nothing is looked for either.

    Raises UsageError where the list names nothing that exists, or has a line that can mean nothing or two files.
    """
    lines = take_apart(data, name)
    if unseen or is_url(folders[0]):
        return Listed([_unseen(line, folders[0]) for line in lines.entries if line.strip() and line[:2] != b"# "])
    return _Reader(lines, folders, name).read()


def write_list(file: Path, paths: Iterable[bytes]) -> None:
    """NUL-separated, so that any path can be read back by `read_list`."""
    with file.open("wb") as out:
        out.writelines(path + b"\0" for path in paths)


def read_list(file: Path) -> list[bytes]:
    """What `write_list` has written."""
    return file.read_bytes().split(b"\0")[:-1]


def _unseen(line: bytes, folder: bytes) -> bytes:
    if (url := _as_url(line, None)) is not None:
        return url
    return canonical(with_slash(folder) + _unlabelled(line)) if is_url(folder) else absolute(line, folder)


def _as_url(line: bytes, head: Head | None) -> bytes | None:
    """In its one form; None for a line that holds none."""
    text = (head and head.paths and head.paths(line)) or line.strip()
    text = unquoted(text) or text
    if not is_url(text) or text[:7].lower() == b"file://":
        return None
    return canonical(_unlabelled(text))


def _unlabelled(line: bytes) -> bytes:
    """Of what cannot be looked for: without quotes, and without the label after an image's name and a blank."""
    text = unquoted(line) or line.strip()
    labelled = _URL_LABEL.fullmatch(text)
    return labelled[1] if labelled and is_image_name(labelled[1]) and not is_image_name(text) else text


@dataclass(frozen=True, slots=True)
class _Found:
    path: bytes
    #: The one that the path is relative to; None for an absolute path.
    below: bytes | None
    is_folder: bool


class _Reader:
    """Reads one list whose files can be looked for."""

    def __init__(self, lines: Lines, folders: Sequence[bytes], name: str) -> None:
        self._lines, self._folders, self._name = lines, folders, name
        self._head: Head | None = None
        #: How often lines were found below each folder, absolute ones apart; and how often by each reading.
        self._below: Counter[bytes] = Counter()
        self._by: Counter[Reading | None] = Counter()
        #: Lines that lead to a file or are URLs.
        self._files = 0
        #: (line, what it was taken for) of the first that is no plain path.
        self._odd: tuple[bytes, bytes] | None = None
        self._passed_over: list[bytes] = []
        self._lost: list[tuple[int, bytes]] = []

    def read(self) -> Listed:
        names: list[bytes] = []
        begun = False
        for number, line in enumerate(self._lines.entries, 1):
            if not line.strip():
                continue
            comment = line.lstrip().startswith(b"#") and not self._lines.exact
            if not begun and not comment:
                begun, self._head = True, self._head_in(number, line)
                if self._head:
                    self._passed_over.append(line)
                    continue
            path = self._file_of(number, line, comment)
            if path is not None:
                names.append(path)
            elif comment:
                self._passed_over.append(line)
            else:
                self._lost.append((number, line))
        lost = [self._name_of_lost(number, line) for number, line in self._lost]
        if not self._files:
            raise UsageError(f"list {self._name} {self._nothing(bool(names))}")
        return Listed(names + lost, self._notes(len(names) + len(lost)))

    def _head_in(self, number: int, line: bytes) -> Head | None:
        if self._lines.exact or self._find(line) is not None:
            return None
        return head_of(line, next((one for one in self._lines.entries[number:] if one.strip()), b""))

    def _file_of(self, number: int, line: bytes, comment: bool) -> bytes | None:
        """The file, folder or URL that a line means; None for what is not there."""
        if number > _LOOKED_FOR and len(self._below) == 1 and set(self._by) == {None} and _PLAIN.fullmatch(line):
            return absolute(line, next(iter(self._below)))
        if (found := self._find(line)) is not None:
            if found.path == b"/":
                raise self._refusal(number, line, "names the whole disk; give the path of an image")
            return self._take(found, None)
        if self._lines.exact or comment:
            return None
        if (url := _as_url(line, self._head)) is not None:
            self._files += 1
            return url
        return self._by_reading(number, line)

    def _by_reading(self, number: int, line: bytes) -> bytes | None:
        column = self._head and self._head.paths
        known = [Reading(column, as_it_is, as_it_is)] if column else []
        known += [reading for reading, _ in self._by.most_common() if reading is not None]
        for reading in itertools.chain(known, readings(line) if len(self._lost) < _PATIENCE else ()):
            text = reading.text(line)
            found = self._find(text) if text else None
            if found is None or found.is_folder:
                continue
            if reading.part != column and names_another(line, reading.part(line) or line):
                raise self._refusal(number, line, "names more than one image; give one path a line")
            self._odd = self._odd or (line, found.path)
            return self._take(found, reading)
        return None

    def _find(self, text: bytes) -> _Found | None:
        for folder in self._folders:
            path = absolute(text, folder)
            try:
                mode = os.lstat(path).st_mode
            except (OSError, ValueError):
                continue
            is_folder = stat.S_ISDIR(mode) or (stat.S_ISLNK(mode) and os.path.isdir(path))
            return _Found(path, None if text.startswith(b"/") else folder, is_folder)
        return None

    def _take(self, found: _Found, reading: Reading | None) -> bytes:
        self._by[reading] += 1
        self._files += not found.is_folder
        if found.below is not None:
            self._below[found.below] += 1
        return found.path

    def _name_of_lost(self, number: int, line: bytes) -> bytes:
        """What to call an item that is not there: read as most lines are that are there. Raises UsageError."""
        if not self._lines.exact:
            text = unquoted(line) or line.strip()
            if text[:1] in (b"{", b"["):
                raise self._refusal(number, line, "is JSON; write the paths alone, one a line")
            if is_of_windows(text):
                raise self._refusal(number, line, "is a path of Windows; write it as the file is called here")
            read = (line if reading is None else reading.text(line) for reading, _ in self._by.most_common())
            line = next((found for found in read if found), line)
            line = homeward(line) or line
        if len(line) > MAX_PATH_BYTES:
            raise self._refusal(
                number, line, f"has {len(line):,} bytes; at most {MAX_PATH_BYTES} are taken: shorten it"
            )
        return absolute(line, max(self._folders, key=lambda folder: self._below[folder]))

    def _refusal(self, number: int, line: bytes, why: str) -> UsageError:
        return UsageError(f"list {self._name}: line {number}, {_shown(line)}, {why}")

    def _nothing(self, folders: bool) -> str:
        if folders:
            return "names folders, and no file that is there: give folders on the command line"
        if not self._lost:
            return f"names no files: its first line, {_shown(self._passed_over[0])}, is no path; put one on each line"
        number, line = self._lost[0]
        where = "" if line.startswith(b"/") else f" below {' and '.join(display_path(one) for one in self._folders)}"
        odd = (
            "" if self._lines.exact or _PLAIN.fullmatch(line) else ", also without quotes, labels and blanks around it"
        )
        count = f"{len(self._lost):,} files, and none of them is" if self._lost[1:] else "one file, and that is not"
        return (
            f"names {count} there; the first, {_shown(line)} in line {number}, "
            f"was looked for{where}{odd}: correct the list, or run this in the folder where its paths begin "
            "(if only workers see these files, add --transport path)"
        )

    def _notes(self, count: int) -> list[str]:
        notes = []
        for other in self._folders[1:]:
            if here := self._below[other]:
                notes.append(
                    f"list {self._name}: {here:,} of its {count:,} paths are relative to {display_path(other)}, where "
                    "this command runs, not to the list's folder"
                )
        if self._odd is not None:
            line, path = self._odd
            odd = sum(times for reading, times in self._by.items() if reading is not None)
            notes.append(
                f"list {self._name}: {_shown(line)} is taken for {display_path(path)} ({odd:,} of {count:,} lines are "
                "no plain paths)"
            )
        if self._passed_over:
            notes.append(
                f"list {self._name}: {_shown(self._passed_over[0])} names no file and is passed over (lines such as "
                f"this: {len(self._passed_over):,})"
            )
        return notes


def _shown(line: bytes) -> str:
    text = display_path(line)
    return repr(text if len(text) <= 80 else f"{text[:80]}...")
