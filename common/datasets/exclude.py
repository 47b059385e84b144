"""Matches paths of a dataset against the patterns of --exclude."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from common.datasets.base import pack_path, with_slash
from common.datasets.pattern import Pattern
from common.errors import UsageError
from common.typedpath import expand


@dataclass(frozen=True, slots=True)
class _Rule:
    given: str
    #: From the dataset's root on; one of a single segment without a '/' matches at any depth.
    segments: tuple[str, ...]
    any_depth: bool
    folders_only: bool

    def matches(self, parts: tuple[str, ...], is_folder: bool) -> bool:
        """Whether it names the path or a folder that the path is in."""
        if self.folders_only and not is_folder:
            parts = parts[:-1]
        if self.any_depth:
            return any(fnmatchcase(part, self.segments[0]) for part in parts)
        return bool(parts) and Pattern(self.segments).matches(parts)


class Exclude:
    """The patterns of one run, each as it was given.

    Without a '/' in it, a pattern matches the name of any file or folder; with one, the path from the root on, as the
    tables have it. `**` is any number of folders. A '/' at its end makes it match folders only.
    A folder that matches is left out with all that is in it.
    """

    def __init__(self, patterns: Sequence[str], root: bytes) -> None:
        """Raises UsageError for a pattern that can match nothing."""
        self.patterns = tuple(patterns)
        self._skip = len(with_slash(root))
        self._rules = tuple(_rule(pattern, pack_path(with_slash(root))) for pattern in patterns)

    def by(self, path: bytes, is_folder: bool) -> str | None:
        """The first pattern that names an absolute path (without a slash at its end); None where none does."""
        parts = tuple(pack_path(path[self._skip :]).split("/"))
        return next((rule.given for rule in self._rules if rule.matches(parts, is_folder)), None)


def _rule(given: str, root: str) -> _Rule:
    pattern = expand(given).removeprefix(root)
    segments = tuple(segment for segment in pattern.split("/") if segment not in ("", "."))
    if not segments or ".." in segments:
        raise UsageError(f"--exclude {given!r} names nothing below {root}: give a name, or a path from there on")
    return _Rule(given, segments, "/" not in pattern.rstrip("/"), pattern.endswith("/"))
