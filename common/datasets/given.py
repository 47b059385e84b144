"""Finds out what a path on the command line is, and that there is something in it."""

# Paths are bytes here, and pathlib holds text only.
# ruff: noqa: PTH112, PTH116, PTH120, PTH208

from __future__ import annotations

import difflib
import glob
import os
import re
import stat
from dataclasses import asdict
from pathlib import Path

from common.datasets.base import IMAGE_SUFFIXES, Tally, pack_path
from common.datasets.folder import Folder
from common.datasets.glob import open_glob
from common.datasets.passed_over import words
from common.datasets.path_list.listed import Listed
from common.datasets.path_list.lists import LIST_SUFFIXES, parse_list
from common.datasets.sieve import Sieve, is_run_dir
from common.datasets.url_folder import RemoteFolder
from common.errors import UsageError

#: Endings of files that hold no one image, and what to do with such a file.
_NO_IMAGES = {
    "zip tar tgz gz bz2 tbz xz txz zst 7z rar": "is an archive: unpack it, and give the folder",
    "mp4 m4v mov avi mkv webm mpg mpeg wmv flv mts m2ts 3gp": "is a video: make images of it, for example by "
    "`ffmpeg -i VIDEO FOLDER/%06d.png`, and give the folder",
    "json jsonl ndjson xml yaml yml parquet xlsx xls ods": "is no list of paths: write the paths into a .txt, one "
    "a line",
    "pdf doc docx ppt pptx": "is a document: make images of its pages, and give the folder",
    "onnx pt pth weights cfg tflite engine": "is a model: give it with --detector, and images as the dataset",
}
#: What bash makes several words of.
_BRACES, _OF_SHELL = re.compile(r"\{.*,.*\}"), "only the shell expands {a,b}: leave the quotes away"
_REMEDIES = {ending: remedy for endings, remedy in _NO_IMAGES.items() for ending in endings.split()}


def status_of(path: bytes, given: str) -> os.stat_result | None:
    """None for a glob. Raises UsageError where there is nothing to open."""
    try:
        return os.stat(path)
    except FileNotFoundError:
        if os.path.lexists(path):
            raise UsageError(f"path {given!r} is a link to nothing: mend it or leave it out") from None
        if glob.has_magic(given):
            return None
        raise UsageError(f"path {given!r} does not exist: {_hint(path, given)}") from None
    except (OSError, ValueError) as error:
        reason = os.strerror(error.errno or 0) if isinstance(error, OSError) else str(error)
        raise UsageError(f"path {given!r} cannot be opened: {reason}") from None


def _hint(path: bytes, given: str) -> str:
    if _BRACES.search(given):
        return _OF_SHELL
    if re.match(r"[A-Za-z]:[\\/]|\\\\", given):
        return "it is a path of Windows; in WSL, C:\\photos is /mnt/c/photos"
    folder, name = os.path.split(path)
    try:
        beside = [pack_path(one) for one in os.listdir(folder)]
    except OSError:
        return "check its spelling"
    close = difflib.get_close_matches(pack_path(name), beside, 1, 0.75)
    return f"is {close[0]!r} meant? Else check its spelling" if close else "check its spelling"


def open_file(path: bytes, given: str, status: os.stat_result) -> None:
    """Raises UsageError for what cannot be an image or a list."""
    if not stat.S_ISREG(status.st_mode):
        raise UsageError(f"path {given!r} is neither a folder nor a file: pipe a list in with '-'")
    ending = pack_path(path.rpartition(b".")[2].lower())
    if ending in _REMEDIES:
        raise UsageError(f"path {given!r} {_REMEDIES[ending]}")


def is_list(path: bytes) -> bool:
    return path.lower().endswith(LIST_SUFFIXES)


def open_list(path: bytes, given: str, cwd: bytes, unseen: bool) -> Listed:
    """Raises UsageError where it cannot be read, or names nothing that is there."""
    try:
        data = Path(os.fsdecode(path)).read_bytes()
    except OSError as error:
        raise UsageError(f"list {given!r} cannot be read: {os.strerror(error.errno or 0)}") from None
    return parse_list(data, tuple(dict.fromkeys((os.path.dirname(path), cwd))), repr(given), unseen)


def open_pattern(pattern: bytes, given: str) -> Folder:
    """Raises UsageError where nothing matches."""
    source = open_glob(pattern)
    sieve = Sieve()
    if os.path.isdir(source.prefix) and next(source.paths(sieve), None) is not None:
        return source
    passed_over = words(asdict(sieve.tally.counts()))
    more = f" ({passed_over})" if passed_over else ""
    remedy = (
        _OF_SHELL if _BRACES.search(given) else "check it, upper and lower case too, and quote it against the shell"
    )
    raise UsageError(f"glob {given!r} matches no image{more}: {remedy}")


def open_folder(path: bytes, given: str) -> Folder:
    """Raises UsageError where it is a run directory or holds no image."""
    if is_run_dir(path):
        raise UsageError(
            f"folder {given!r} is the directory of a run, and no dataset: submit the images that the run was made of, "
            "which its run.json names"
        )
    source = Folder.at(path)
    check_not_empty(source, f"folder {given!r}")
    return source


def check_not_empty(source: Folder | RemoteFolder, name: str) -> None:
    """Raises UsageError, with what was passed over."""
    sieve = Sieve()
    if next(source.paths(sieve), None) is None:
        raise UsageError(f"{name} {_nothing_in(sieve.tally)}")


def _nothing_in(tally: Tally) -> str:
    passed_over = words(asdict(tally.counts()))
    if not passed_over:
        return "is empty: give one with images in it"
    kinds = ", ".join(sorted(pack_path(suffix) for suffix in IMAGE_SUFFIXES))
    return f"holds no images ({passed_over}): taken are {kinds}"
