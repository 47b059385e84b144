"""A destination in, a temporary place to write out; the destination changes in one step or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from common import folder_tree, os_errors


@contextmanager
def atomic_file(destination: Path, mode: int | None = None) -> Iterator[BinaryIO]:
    """Opens a file that takes the destination's place, fsynced, when the block ends without an error.

    `mode`: its permissions, set before anything is written.
    """
    part = part_of(destination)
    with os_errors.naming(destination):
        destination.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("wb") as file:
                if mode is not None:
                    part.chmod(mode)
                yield file
            publish(part, destination)
        finally:
            part.unlink(missing_ok=True)


def write_json(destination: Path, data: dict[str, Any], durable: bool = True) -> None:
    """One JSON object, indented. Not durable: still whole or absent for readers, but a power cut may lose it."""
    text = (json.dumps(data, indent=2) + "\n").encode()
    if durable:
        with atomic_file(destination) as file:
            file.write(text)
    else:
        part = part_of(destination)
        with os_errors.naming(destination):
            try:
                part.write_bytes(text)
                part.replace(destination)
            finally:
                part.unlink(missing_ok=True)


@contextmanager
def atomic_folder(destination: Path) -> Iterator[Path]:
    """Makes a folder that takes the place of the destination, which is replaced whole, when the block ends."""
    part, old = part_of(destination), part_of(destination, "old")
    with os_errors.naming(destination):
        destination.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.mkdir()
            yield part
            if destination.exists():
                destination.rename(old)
            part.rename(destination)
            sync_folder(destination.parent)
        finally:
            folder_tree.remove(part)
            folder_tree.remove(old)


def publish(part: Path, destination: Path) -> None:
    """Gives a finished file its name, durably."""
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(destination)
    sync_folder(destination.parent)


def part_of(destination: Path, ending: str = "part") -> Path:
    """A hidden name beside the destination that no other process uses: two `results` may run at once."""
    return destination.with_name(f".{destination.name}.{os.getpid()}.{ending}")


def sync_folder(folder: Path) -> None:
    """Makes renames and new names in the folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
