"""What the user typed after --detector in, a loaded detector out: NAME, PATH or NAME=PATH."""

from __future__ import annotations

import difflib
import os
import re
import shutil
import tempfile
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

import pooch
import requests

from common import osfault, registry
from common.errors import ModelError
from common.folders import homeless
from common.registry import ENTRY_POINT_GROUP, NamedModel
from worker.detectors.base import Detector, Family, ModelSource

#: What a detector may be called: it becomes part of a queue's name and of file names.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
#: Seconds without a byte before a download is given up.
_TIMEOUT_S = 30


def load(
    text: str,
    *,
    head: str | None = None,
    labels: Path | None = None,
    cache_dir: Path | None,
    mirror: str | None = None,
) -> Detector:
    """The detector, loaded but not warmed up. Raises ModelError, one line that names the thing and the remedy.

    `cache_dir` keeps downloaded models (None: there is no folder); `mirror` is a base URL, asked instead of theirs.
    """
    name, _, path_text = _split(text)
    families = _families()
    if not path_text:
        if name in families and not families[name].suffixes:
            return families[name].load(ModelSource(name, head=head, labels=labels))
        model = registry.named(name)
        if model is None:
            raise ModelError(_unknown(name, families))
        path = fetch(model, cache_dir, mirror)
    else:
        path = Path(path_text).expanduser()
    return _family_of(path, families).load(ModelSource(name, path, head, labels))


def fetch(model: NamedModel, cache_dir: Path | None, mirror: str | None) -> Path:
    """The model's file in the cache, downloaded if it is not there, with the digest that the registry promises."""
    if cache_dir is None:
        raise ModelError(homeless(f"model {model.name}, which is downloaded", "set MANYEYES_CACHE to one"))
    url = f"{mirror.rstrip('/')}/{model.filename}" if mirror else model.url
    target = cache_dir / model.filename
    pooch.get_logger().setLevel("WARNING")
    try:
        if not target.exists():
            _check_room(target)
        with osfault.naming(target):
            pooch.retrieve(url, f"sha256:{model.sha256}", model.filename, cache_dir, downloader=_downloader(url))
    except (OSError, ValueError, requests.RequestException) as error:
        if isinstance(error, OSError) and error.filename and Path(error.filename).is_relative_to(cache_dir):
            raise ModelError(
                f"model {model.name} cannot be kept in {cache_dir} ({osfault.explain(error)}); "
                f"set MANYEYES_CACHE to a folder that this user may write to, or that holds {model.filename}"
            ) from None
        why = " ".join(str(error).split())[:120]
        raise ModelError(
            f"model {model.name} could not be had from {url} ({type(error).__name__}: {why}); "
            f"set MANYEYES_MODEL_MIRROR to a URL that holds {model.filename}, or put that file at {target}"
        ) from None
    return target


def _check_room(target: Path) -> None:
    """Raises OSError, which names the folder, where nothing can be written beside the target."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=target.parent).close()
    except OSError as error:
        # It is about the cache, also where a folder above it is closed.
        error.filename = os.fspath(target.parent)
        raise


def _downloader(url: str) -> Any:
    """Pooch fetches over the network; a mirror may also be a folder that all machines mount (`file://`)."""
    if urlparse(url).scheme != "file":
        return pooch.HTTPDownloader(progressbar=False, timeout=_TIMEOUT_S)
    return lambda url, output, _: shutil.copyfile(url2pathname(urlparse(url).path), output)


def _split(text: str) -> tuple[str, str, str]:
    """Name, "=", path; the path is empty where only a name was given."""
    name, equals, path = text.partition("=")
    if equals and path and _NAME.fullmatch(name):
        return name, equals, path
    if "/" not in text and not Path(text).suffix and not Path(text).is_file():
        if not _NAME.fullmatch(text):
            raise ModelError(f"detector name {text!r} may hold letters, digits and . _ - only")
        return text, "", ""
    if "/" not in text and registry.named(text) is not None:
        return text, "", ""
    stem = Path(text).stem
    if not _NAME.fullmatch(stem):
        raise ModelError(
            f"model {text}: {stem!r} cannot be a detector's name (letters, digits and . _ - only); "
            f"name it with --detector NAME={text}"
        )
    return stem, "=", text


def _families() -> dict[str, Family]:
    """Every installed family by name. Raises ModelError for one that does not load, or that is there twice."""
    found: dict[str, Family] = {}
    for point in entry_points(group=ENTRY_POINT_GROUP):
        if point.name in found:
            raise ModelError(f"two packages provide the detector family {point.name!r}; uninstall one of them")
        try:
            found[point.name] = point.load()
        except Exception as error:
            why = " ".join(str(error).split())[:160]
            raise ModelError(f"detector family {point.name!r} ({point.value}) does not load: {why}") from error
    return found


def _family_of(path: Path, families: dict[str, Family]) -> Family:
    suffix = path.suffix.lower()
    for family in families.values():
        if suffix in family.suffixes:
            return family
    known = sorted(ending for family in families.values() for ending in family.suffixes)
    raise ModelError(f"model {path}: nothing here loads {suffix or 'a file without an ending'}; {', '.join(known)} do")


def _unknown(name: str, families: dict[str, Family]) -> str:
    ready = sorted(name for name, family in families.items() if not family.suffixes)
    known = [*ready, *(model.name for model in registry.MODELS)]
    close = difflib.get_close_matches(name, known, 1, 0.5)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"unknown detector {name!r}; {hint}there are {', '.join(known)}, or give a model's path"
