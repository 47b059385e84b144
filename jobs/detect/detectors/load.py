"""What the user typed after --detector in, a loaded detector out: NAME, PATH or NAME=PATH."""

from __future__ import annotations

import difflib
import os
import shlex
import shutil
import tempfile
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

import pooch
import requests

from common import os_errors
from common.errors import ModelError
from common.user_folders import homeless
from jobs.detect.detectors.base import Detector, Family, ModelSource
from jobs.detect.models import detector_names, model_zoo
from jobs.detect.models.model_zoo import ENTRY_POINT_GROUP, NamedModel

#: Seconds without a byte before a download is given up.
_TIMEOUT_S = 30
#: What to do about models in the formats of training and of other engines, by their endings.
_EXPORTS = {
    **dict.fromkeys((".pt", ".pth", ".ckpt", ".safetensors"), "export it to ONNX, with Ultralytics: {export}"),
    **dict.fromkeys((".engine", ".trt", ".plan"), "TensorRT's belongs to one GPU; give the .onnx that it was made of"),
    ".data": "it holds the weights of an .onnx file; give that one",
}


def load(
    text: str,
    *,
    head: str | None = None,
    labels: Path | None = None,
    weights: Path | None = None,
    cache_dir: Path | None,
    mirror: str | None = None,
) -> Detector:
    """The detector, loaded but not warmed up. Raises ModelError, one line that names the thing and the remedy.

    `cache_dir` keeps downloaded models (None: there is no folder); `mirror` is a base URL, asked instead of theirs.
    """
    typed = detector_names.DetectorText.parse(text)
    name, path = typed.name, typed.path
    families = _families()
    if path is None:
        if name in families and not families[name].suffixes:
            return families[name].load(ModelSource(name, None, head, labels, weights))
        model = model_zoo.named(name)
        if model is None:
            raise ModelError(_unknown(name, families))
        path = fetch(model, cache_dir, mirror)
    elif not path.exists():
        raise ModelError(_missing(text, path))
    return _family_of(path, families).load(ModelSource(name, path, head, labels, weights))


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
        with os_errors.naming(target):
            pooch.retrieve(url, f"sha256:{model.sha256}", model.filename, cache_dir, downloader=_downloader(url))
    except (OSError, ValueError, requests.RequestException) as error:
        if isinstance(error, OSError) and error.filename and Path(error.filename).is_relative_to(cache_dir):
            raise ModelError(
                f"model {model.name} cannot be kept in {cache_dir} ({os_errors.explain(error)}); "
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
    if path.is_dir():
        raise ModelError(f"model {path} is a folder; {_inside(path, families)}")
    for family in families.values():
        if suffix in family.suffixes:
            return family
    known = ", ".join(sorted(ending for family in families.values() for ending in family.suffixes))
    hint = _EXPORTS.get(suffix, "export it to ONNX").format(
        export=f"yolo export model={shlex.quote(str(path))} format=onnx"
    )
    raise ModelError(f"model {path}: nothing here loads {suffix or 'a file without an ending'}; {known} do; {hint}")


def _inside(folder: Path, families: dict[str, Family]) -> str:
    """Which model of a folder to give."""
    endings = {ending for family in families.values() for ending in family.suffixes}
    files = [folder / name for name in _names_in(folder) if Path(name).suffix.lower() in endings]
    if not files:
        return f"give a file that ends in {', '.join(sorted(endings))}; none is in it"
    return f"give the file:  --detector {shlex.quote(str(files[0]))}"


def _missing(text: str, path: Path) -> str:
    also = "" if str(path) == text or "=" not in text else f" (nor does {text})"
    close = _models_called(path) or difflib.get_close_matches(path.name, _names_in(path.parent), 1, 0.8)
    hint = f"did you mean {path.parent / close[0]}?" if close else "check the path, or see `producer detectors`"
    return f"model {path} does not exist{also}; {hint}"


def _models_called(path: Path) -> list[str]:
    """Files beside it whose names are its own, and a model's ending."""
    return [name for name in _names_in(path.parent) if name in (f"{path.name}.onnx", f"{path.name}.cfg")]


def _names_in(folder: Path) -> list[str]:
    try:
        return sorted(file.name for file in folder.iterdir())
    except OSError:
        return []


def _unknown(name: str, families: dict[str, Family]) -> str:
    if Path(name).is_dir():
        return f"unknown detector {name!r}, but a folder; {_inside(Path(name), families)}"
    ready = sorted(name for name, family in families.items() if not family.suffixes)
    known = [*ready, *(model.name for model in model_zoo.MODELS)]
    close = _models_called(Path(name)) or difflib.get_close_matches(name, known, 1, 0.5)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"unknown detector {name!r}; {hint}there are {', '.join(known)}, or give a model's path"
