"""Opens what a user submits: folders, globs, files, lists and URLs, mixed, as one dataset."""

# Paths are bytes here, and pathlib holds text only.
# ruff: noqa: PTH112, PTH118

from __future__ import annotations

import glob
import os
import stat
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from common.datasets import given, url_folder
from common.datasets.base import Source, display_path
from common.datasets.dataset import Dataset
from common.datasets.files import Files, absolute
from common.datasets.path_list.listed import Listed
from common.datasets.path_list.lists import parse_list
from common.datasets.url_folder import RemoteFolder
from common.errors import UsageError
from common.storage.urls import is_url, scheme_of
from common.typed_path import expand

#: What stands for a list that comes by standard input.
STDIN = "-"


@dataclass(frozen=True, slots=True)
class Choosing:
    """How a dataset is to be opened."""

    #: Patterns of what is left out.
    exclude: tuple[str, ...] = ()
    #: Only workers see the files that lists name: they are taken at their word.
    unseen: bool = False
    #: What the lists among the paths named when they were read first, as `Dataset.listed` has it.
    kept: Listed | None = None


def open_dataset(
    paths: Sequence[str],
    cwd: Path | None = None,
    stdin: BinaryIO | None = None,
    choice: Choosing = Choosing(),
) -> Dataset:
    """Find out what each path is, and that there is something in it.

    Raises UsageError, naming the path: it does not exist, cannot be read, or holds, lists or matches no image.
    """
    opening = _Opening(os.fsencode(Path.cwd() if cwd is None else cwd), stdin, choice)
    # Before any server is asked.
    _check_one_kind({scheme for path in paths if (scheme := scheme_of(os.fsencode(path)))})
    for path in paths:
        opening.take(path if is_url(os.fsencode(path)) else expand(path, os.fsdecode(opening.folder)))
    if choice.kept is not None:
        opening.listed = choice.kept
    named, sources = opening.named + opening.listed.names, opening.sources
    _check_one_kind({scheme_of(path) for path in named} | {scheme_of(source.prefix) for source in sources})
    if named:
        sources.append(url_folder.named(named) if is_url(named[0]) else Files.named(named))
    if not sources:
        raise UsageError("no dataset: give a folder, a glob, an image or a list of paths")
    dataset = Dataset(tuple(opening.given), sources, opening.listed, choice.exclude)
    if choice.exclude and next(dataset.items(), None) is None:
        patterns = ", ".join(map(repr, choice.exclude))
        raise UsageError(f"--exclude {patterns} leaves nothing of {display_path(dataset.root)}: every image matches")
    return dataset


class _Opening:
    """Takes what was given, one by one."""

    def __init__(self, folder: bytes, stdin: BinaryIO | None, choice: Choosing) -> None:
        self.folder = folder
        self._stdin, self._choice = stdin, choice
        self.sources: list[Source] = []
        #: Files and URLs that were given by name, and those that lists name.
        self.named: list[bytes] = []
        self.listed = Listed([])
        #: The same, absolute.
        self.given: list[str] = []

    def take(self, path: str) -> None:
        """Raises UsageError."""
        if not path:
            raise UsageError("the dataset's path is empty; give a folder, a glob, an image or a list of paths")
        if path == STDIN:
            # A second `-` finds the stream at its end: the names were all read the first time.
            if STDIN not in self.given:
                self._add_list(self._from_stdin)
            self.given.append(STDIN)
        elif is_url(os.fsencode(path)):
            self._take_url(path)
        else:
            self._take_path(path)

    def _take_url(self, path: str) -> None:
        if self._choice.kept is not None and url_folder.is_list(path):
            self.given.append(path)
            return
        opened = url_folder.open_url(path)
        if isinstance(opened, RemoteFolder):
            given.check_not_empty(opened, repr(path))
            self.sources.append(opened)
            # So it is no list to whoever does not ask the server.
            path += "/" if url_folder.is_list(path) else ""
        elif given.is_list(opened):
            self._add_list(lambda: url_folder.list_at(opened, path))
        else:
            self.named.append(opened)
        self.given.append(path)

    def _take_path(self, path: str) -> None:
        whole = absolute(os.fsencode(path), self.folder)
        if self._choice.kept is not None and given.is_list(whole) and not os.path.isdir(whole):
            self.given.append(os.fsdecode(whole))
            return
        status = given.status_of(whole, path)
        if status is None:
            whole = os.path.join(glob.escape(self.folder), os.fsencode(path))
            self.sources.append(given.open_pattern(whole, path))
        elif stat.S_ISDIR(status.st_mode):
            self.sources.append(given.open_folder(whole, path))
        else:
            given.open_file(whole, path, status)
            if given.is_list(whole):
                self._add_list(lambda: given.open_list(whole, path, self.folder, self._choice.unseen))
            else:
                self.named.append(whole)
        self.given.append(os.fsdecode(whole))

    def _from_stdin(self) -> Listed:
        data = (self._stdin or sys.stdin.buffer).read()
        return parse_list(data, [self.folder], "on standard input", self._choice.unseen)

    def _add_list(self, read: Callable[[], Listed]) -> None:
        if self._choice.kept is None:
            self.listed.add(read())


def _check_one_kind(schemes: set[bytes]) -> None:
    if len(schemes) > 1:
        kinds = " and ".join(display_path(scheme) + "://" if scheme else "local paths" for scheme in sorted(schemes))
        raise UsageError(f"one run takes items of one kind, not {kinds}: submit them as runs of their own")
