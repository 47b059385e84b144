"""Reads a list of paths: finds out which file each line means, and says what was no plain path."""

# Paths are bytes here, and pathlib holds text only.
# ruff: noqa: PTH112

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from common.datasets.base import display_path
from common.datasets.files import absolute
from common.datasets.path_list.lines import Lines, take_apart
from common.datasets.path_list.listed import Line, Listed, shown, skipped_note
from common.datasets.path_list.readings import (
    SEPARATORS,
    Head,
    Reading,
    as_it_is,
    bare,
    columns_of,
    head_of,
    homeward,
    is_of_windows,
    names_another,
    readings,
    unquoted,
)
from common.datasets.path_list.unseen import parse_unseen, url_of
from common.errors import UsageError
from common.limits import MAX_PATH_BYTES
from common.storage.urls import is_url

#: Name endings, lower case, that make a file given by name a list of paths.
LIST_SUFFIXES = (b".txt", b".lst", b".list", b".csv", b".tsv")

#: Lines that are all looked for on the disk. Of those after them, a path without anything odd in it is taken at its
#: word, in a folder where one was found, if all before it were such paths: on a network disk each look takes a third of
#: a millisecond.
_LOOKED_FOR = 20_000
_PLAIN = re.compile(rb"[A-Za-z0-9_./+=@%-]+")
#: Lines in a row that are in no reading there, after which only readings are tried in which others are; and of how
#: many lines one is tried in all of them even then.
_PATIENCE, _STILL_TRIED = 1_000, 50


def parse_list(data: bytes, folders: Sequence[bytes], name: str, unseen: bool = False) -> Listed:
    """The files of a list, called `name` in messages; relative paths are relative to one of `folders`, best first.

    A line that exists as it is means that, whatever is in it. `unseen`: only workers see the files; nothing is looked
    for. The only folder may be a URL: of URLs nothing is looked for either.

    Raises UsageError where the list names nothing that exists, or has a line that can mean nothing or two files.
    """
    lines = take_apart(data, name)
    if unseen or is_url(folders[0]):
        return parse_unseen(lines, folders[0], name)
    return _Reader(lines, folders, name).read()


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
        self._head = Head()
        #: How often lines were found below each folder, absolute ones apart; and how often by each reading.
        self._below: Counter[bytes] = Counter()
        self._by: Counter[Reading | None] = Counter()
        #: What comes before the last slash of lines that were found as they stand.
        self._known: set[bytes] = set()
        #: Lines that lead to a file or are URLs; those that were not looked for.
        self._files = self._trusted = 0
        #: What the first line that is no plain path was taken for.
        self._odd: tuple[Line, bytes] | None = None
        self._skipped: list[bytes] = []
        self._lost: list[Line] = []
        #: Lost lines since one was found in a new reading; those that were not tried in all, and how many were known.
        self._failures = 0
        self._untried: list[tuple[Line, int]] = []

    def read(self) -> Listed:
        names: list[bytes] = []
        begun = self._lines.exact
        for number, text in enumerate(self._lines.entries, 1):
            if number > _LOOKED_FOR and (trusted := self._at_its_word(text)) is not None:
                self._trusted += 1
                names.append(trusted)
                continue
            if not text.strip():
                continue
            line = Line(self._name, number, text)
            comment = self._lines.is_comment(text)
            if not begun and not comment:
                begun = True
                if (head := self._head_in(line)) is not None:
                    self._head = head
                    self._skipped.append(text)
                    continue
            path = self._file_of(line, comment)
            if path is not None:
                names.append(line.checked(path))
            elif comment:
                self._skipped.append(text)
            else:
                self._lost.append(line)
        names += self._found_after_all()
        lost = [line.checked(self._name_of_lost(line)) for line in self._lost]
        if not self._files:
            raise UsageError(f"list {self._name} {self._nothing(bool(names))}")
        return Listed(names + lost, self._notes(len(names) + len(lost)), len(self._skipped))

    def _head_in(self, line: Line) -> Head | None:
        texts = [line.text, *(column for one in SEPARATORS for column in columns_of(line.text, one))]
        if any((found := self._find(text)) and not found.is_folder for text in texts if text):
            return None
        return head_of(line.text, self._lines.after(line.number))

    def _file_of(self, line: Line, comment: bool) -> bytes | None:
        """The file, folder or URL that a line means; None for what is not there."""
        if (found := self._find(line.text)) is not None:
            self._known.add(line.text.rpartition(b"/")[0])
            return self._take(found, None)
        if self._lines.exact or comment or _PLAIN.fullmatch(line.text):
            return None
        if (url := url_of(line, self._head)) is not None:
            self._files += 1
            return url
        if (path := self._by_reading(line, self._known_readings())) is not None:
            return path
        self._failures += 1
        if self._failures > _PATIENCE and self._failures % _STILL_TRIED:
            self._untried.append((line, len(self._by)))
            return None
        if (path := self._by_reading(line, readings(line.text))) is not None:
            self._failures = 0
        return path

    def _at_its_word(self, text: bytes) -> bytes | None:
        """The path of a plain line in a folder where one was found, if all others were plain; None for all other."""
        folder, _, name = text.rpartition(b"/")
        # A name of dots may lead up to '/', which is no item.
        if not name.strip(b".") or self._by.keys() != {None} or folder not in self._known or not _PLAIN.fullmatch(text):
            return None
        if text.startswith(b"/"):
            return absolute(text, b"/")
        return absolute(text, next(iter(self._below))) if len(self._below) == 1 else None

    def _found_after_all(self) -> list[bytes]:
        """Of the lines that were given up, those that are there in readings which were found later."""
        found: dict[int, bytes] = {}
        for line, known in self._untried:
            if known < len(self._by) and (path := self._by_reading(line, self._known_readings())) is not None:
                found[line.number] = line.checked(path)
        self._lost = [line for line in self._lost if line.number not in found]
        return list(found.values())

    def _known_readings(self) -> list[Reading]:
        columns = [Reading(column, as_it_is, as_it_is) for column in self._head.paths]
        return columns + [reading for reading, _ in self._by.most_common() if reading is not None]

    def _by_reading(self, line: Line, ways: Iterable[Reading]) -> bytes | None:
        for reading in ways:
            text = reading.text(line.text)
            found = self._find(text) if text else None
            if found is None or found.is_folder:
                continue
            if reading.part not in self._head.paths and names_another(line.text, reading.part(line.text) or line.text):
                raise line.refusal("names more than one image; give one path a line")
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

    def _name_of_lost(self, line: Line) -> bytes:
        """What to call an item that is not there: read as most lines are that are there. Raises UsageError."""
        text = line.text
        if not self._lines.exact:
            plain = unquoted(text) or bare(text)
            if plain[:1] in (b"{", b"["):
                raise line.refusal("is JSON; write the paths alone, one a line")
            if is_of_windows(plain):
                raise line.refusal("is a path of Windows; write it as the file is called here")
            read = (text if reading is None else reading.text(text) for reading, _ in self._by.most_common())
            text = next((found for found in read if found), text)
            text = homeward(text) or text
        if len(text) > MAX_PATH_BYTES:
            raise line.refusal(f"has {len(text):,} bytes; at most {MAX_PATH_BYTES} are taken: shorten it")
        return absolute(text, max(self._folders, key=lambda folder: self._below[folder]))

    def _nothing(self, folders: bool) -> str:
        if folders:
            return "names folders, and no file that is there: give folders on the command line"
        if not self._lost:
            return f"names no files: its first line, {shown(self._skipped[0])}, is no path; put one on each line"
        first = self._lost[0]
        where = " and ".join(display_path(one) for one in self._folders)
        where = "there" if first.text.startswith(b"/") else f"in {where}"
        if not (self._lines.exact or _PLAIN.fullmatch(first.text)):
            where += ", also without quotes, labels and blanks around it"
        which = f"{shown(first.text)} (line {first.number})"
        if self._untried:
            where += f" ({len(self._untried):,} others were looked for only as they stand)"
        many = f"{len(self._lost):,} files, and none of them is there; the first, {which},"
        found = many if self._lost[1:] else f"one file, {which}, which"
        return (
            f"names {found} is not {where}: correct the list, or run this in the folder where its paths begin "
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
                f"list {self._name}: {shown(line.text)} is taken for {display_path(path)} ({odd:,} of {count:,} lines "
                "were read that way)"
            )
        if self._lost:
            first = self._lost[0]
            verb = "are" if self._lost[1:] else "is"
            trusted = f" ({self._trusted:,} were not looked for)" if self._trusted else ""
            notes.append(
                f"list {self._name}: {len(self._lost):,} of its {count:,} files {verb} not there, "
                f"the first in line {first.number:,}: {shown(first.text)}{trusted}"
            )
        return notes + skipped_note(self._name, self._skipped)
