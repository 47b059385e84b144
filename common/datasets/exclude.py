"""Matches paths of a dataset against the patterns of --exclude."""

from __future__ import annotations

import glob
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from common.datasets.base import pack_path, with_slash
from common.datasets.pattern import Pattern
from common.errors import UsageError
from common.typed_path import expand


@dataclass(frozen=True, slots=True)
class _Rule:
    given: str
    #: From the dataset's root on; of a single segment without a '/', at any depth.
    pattern: Pattern
    folders_only: bool

    def matches(self, path: str, is_folder: bool) -> bool:
        """Whether it names the path or a folder that the path is in."""
        if self.folders_only and not is_folder:
            path = path.rpartition("/")[0]
        return bool(path) and self.pattern.matches(path, is_folder)


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
        self._rules = tuple(_rule(pattern, _composed(pack_path(with_slash(root)))) for pattern in patterns)

    def by(self, path: bytes, is_folder: bool) -> str | None:
        """The first pattern that names an absolute path (without a slash at its end); None where none does."""
        below = _composed(pack_path(path[self._skip :]))
        return next((rule.given for rule in self._rules if rule.matches(below, is_folder)), None)


def _composed(text: str) -> str:
    """Accents match whether they are letters of their own (NFD, as macOS writes them) or not."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _rule(given: str, root: str) -> _Rule:
    pattern = given
    # Names such as `~$report.docx` are of Office, and `~*` is no user.
    if "/" in given.rstrip("/") and not glob.has_magic(given.partition("/")[0]):
        try:
            pattern = expand(given)
        except UsageError as error:
            raise UsageError(f"--exclude: {error}") from None
    pattern = _composed(pattern).removeprefix(root)
    segments = tuple(segment for segment in pattern.split("/") if segment not in ("", "."))
    if not segments or ".." in segments:
        raise UsageError(
            f"--exclude {given!r} matches nothing: a pattern without / matches names, one with / matches paths below "
            f"{root}"
        )
    anywhere = () if "/" in pattern.rstrip("/") else ("**",)
    return _Rule(given, Pattern(anywhere + segments), pattern.endswith("/"))
