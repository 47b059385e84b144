"""A model's path in, its bytes out, or one line that says why not."""

from __future__ import annotations

from pathlib import Path

from common.errors import ModelError
from worker.detectors.base import ModelSource


def read(path: Path) -> bytes:
    """The whole file, read once: what is hashed is what is loaded. Raises ModelError."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ModelError(f"model {path} does not exist; check the path, or see `producer detectors`") from None
    except OSError as error:
        raise ModelError(f"model {path} cannot be read: {error.strerror}; check the path and its permissions") from None
    if not data:
        raise ModelError(f"model {path} is empty (0 bytes); copy or download it again")
    return data


def path_of(source: ModelSource) -> Path:
    if source.path is None:
        raise ModelError(f"detector {source.name} needs a model file; give --detector NAME=PATH or a path")
    return source.path


def refuse(source: ModelSource, *, head: bool, labels: bool) -> None:
    """Raises ModelError where the user chose a head, or labels, and this detector has its own."""
    if head and source.head is not None:
        raise ModelError(f"--head {source.head}: detector {source.name} has no heads to choose from; leave it out")
    if labels and source.labels is not None:
        raise ModelError(f"--labels {source.labels}: detector {source.name} has labels of its own; leave it out")
