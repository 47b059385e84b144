"""Reads what is typed after --detector: NAME, PATH or NAME=PATH, one or several separated by commas."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from common.errors import ModelError, UsageError
from common.typed_path import expand
from jobs.detect.models import model_zoo

#: What a detector may be called: it becomes part of a queue's name and of file names.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
#: A file's ending. `best-v1.2` has none: it is the name of a detector, or of its queue.
_ENDING = re.compile(r"\.[A-Za-z]\w*")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_WINDOWS = re.compile(r"[A-Za-z]:[\\/]|.*\\")


@dataclass(frozen=True, slots=True)
class DetectorText:
    """One detector: its name, and its model's file where one was given. `path` has no `~` any more."""

    name: str
    path: Path | None = None

    @classmethod
    def parse(cls, text: str) -> DetectorText:
        """A path that exists is a path, whatever characters are in it; then NAME=PATH, then a path, then a name.

        Raises ModelError for what can be none of them, and UsageError for a `~` that stands for no folder.
        """
        text = text.strip()
        if _is_file(text) and _looks_like_path(text):
            return cls._of_path(text)
        name, equals, path = text.partition("=")
        if equals and _NAME.fullmatch(name):
            if not path.strip():
                raise ModelError(f"--detector {text}: there is no path after the `=`; give {text}FILE.onnx")
            _refuse_url(path.strip(), text)
            return cls(name, Path(expand(path.strip())))
        _refuse_url(text, text)
        if _looks_like_path(text) and model_zoo.named(text) is None:
            return cls._of_path(text)
        if not _NAME.fullmatch(text):
            raise ModelError(f"detector name {text!r} may hold letters, digits and . _ - only")
        return cls(text)

    @classmethod
    def _of_path(cls, text: str) -> DetectorText:
        path = Path(expand(text))
        if _WINDOWS.match(text) and not path.exists():
            raise ModelError(
                f"model {text} looks like a path of Windows; manyeyes runs under Linux and macOS, where WSL has the "
                "disk C: as /mnt/c: give that path"
            )
        if not _NAME.fullmatch(path.stem):
            raise ModelError(
                f"model {text}: {path.stem!r} cannot be a detector's name (letters, digits and . _ - only); "
                f"name it with --detector NAME={shlex.quote(text)}"
            )
        return cls(path.stem, path)

    def absolute(self) -> str:
        """What to type for the same detector in whatever folder."""
        if self.path is None:
            return self.name
        path = str(self.path.absolute())
        return path if self.name == self.path.stem else f"{self.name}={path}"


def split(text: str) -> tuple[str, ...]:
    """One text a detector. A comma in the path of a file that exists separates nothing."""
    parts = [part for part in text.split(",") if part.strip()]
    found = []
    while parts:
        count = next((n for n in range(len(parts), 1, -1) if _names_file(",".join(parts[:n]))), 1)
        found.append(",".join(parts[:count]).strip())
        parts = parts[count:]
    return tuple(found)


def one(text: str) -> DetectorText:
    """Raises ModelError for several, for none, and for what can be no detector."""
    if not text.strip():
        raise ModelError("--detector is empty; give NAME, PATH or NAME=PATH (`producer detectors` lists names)")
    if len(split(text)) > 1:
        raise ModelError(f"--detector {text} names several; a run has one detector: submit once for each")
    return DetectorText.parse(text)


def _names_file(text: str) -> bool:
    """Whether it is a file's path, or NAME= and one."""
    text = text.strip()
    name, equals, path = text.partition("=")
    return _is_file(text) or bool(equals and _NAME.fullmatch(name) and _is_file(path.strip()))


def _is_file(text: str) -> bool:
    try:
        return Path(expand(text)).is_file()
    except (OSError, ValueError, UsageError):  # too long for a name, a NUL in it, ~ of nobody
        return False


def _looks_like_path(text: str) -> bool:
    """`hog` stays a name where a file of that name lies about: no model's file is without an ending."""
    return "/" in text or "\\" in text or _ENDING.fullmatch(Path(text).suffix) is not None


def _refuse_url(path: str, text: str) -> None:
    if _URL.match(path):
        raise ModelError(
            f"--detector {text}: a model is not read from a URL; download the file first, then give its path"
        )
