"""A pattern with * ? [ ] or ** in, the folder to walk and the choice of its images out."""

from __future__ import annotations

import glob
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

from common.datasets.base import pack_path, unpack_path, with_slash
from common.datasets.files import absolute
from common.datasets.folder import Folder

_ESCAPED = re.compile(r"\[([*?[])\]")


@dataclass(frozen=True)
class Pattern:
    """The segments of a pattern, from its first wildcard on. `**` is any number of folders, none included.

    A folder that the whole pattern matches is taken with all that is below it, as a shell's expansion would be.
    """

    segments: tuple[str, ...]

    def enters(self, folder: bytes) -> bool:
        return _may_match(tuple(pack_path(folder).split("/")), self.segments)

    def takes(self, file: bytes) -> bool:
        return _matches(tuple(pack_path(file).split("/")), self.segments)


def open_glob(pattern: bytes) -> Folder:
    """The folder before the first wildcard of an absolute pattern, and what of it matches.

    Hidden names are met only before the first wildcard.
    """
    literal: list[str] = []
    segments = [segment for segment in pack_path(pattern).split("/") if segment not in ("", ".")]
    while segments and (name := _ESCAPED.sub(r"\1", segments[0])) and glob.escape(name) == segments[0]:
        literal.append(name)
        segments.pop(0)
    base = absolute(unpack_path("/" + "/".join(literal)), b"/")
    return Folder(with_slash(base), Pattern(tuple(segments)))


def _matches(parts: tuple[str, ...], segments: tuple[str, ...]) -> bool:
    if not segments:
        return True
    if not parts:
        return False
    if segments[0] == "**":
        return any(_matches(parts[i:], segments[1:]) for i in range(len(parts)))
    return fnmatchcase(parts[0], segments[0]) and _matches(parts[1:], segments[1:])


def _may_match(parts: tuple[str, ...], segments: tuple[str, ...]) -> bool:
    if not parts or not segments or segments[0] == "**":
        return True
    return fnmatchcase(parts[0], segments[0]) and _may_match(parts[1:], segments[1:])
