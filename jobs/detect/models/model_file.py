"""Reads one file of a model, or says in one line why it cannot be read."""

from __future__ import annotations

from pathlib import Path

from common.errors import ModelError


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
