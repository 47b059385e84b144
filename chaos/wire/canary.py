"""A folder in that no worker may read; whether anybody opened something in it, by the kernel's word, out (Linux)."""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path

#: Of the kernel's inotify interface: a file was opened, or read.
_IN_ACCESS, _IN_OPEN = 0x1, 0x20
_NAME = "secret.jpg"


class Canary:
    """An image outside every root, watched. Raises OSError where the kernel watches nothing."""

    def __init__(self, folder: Path, image: bytes) -> None:
        folder.mkdir()
        self.file = folder / _NAME
        self.file.write_bytes(image)
        libc = ctypes.CDLL(None, use_errno=True)
        self._events = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._events < 0 or libc.inotify_add_watch(self._events, os.fsencode(folder), _IN_ACCESS | _IN_OPEN) < 0:
            raise OSError(ctypes.get_errno(), f"{folder} cannot be watched")
        # A watch that sees nothing proves nothing.
        self.file.read_bytes()
        if not self.sung():
            raise OSError(f"{self.file} was read, and the kernel did not say so")

    def sung(self) -> bool:
        """Whether somebody has opened or read it since it was last asked."""
        found = b""
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(self._events, 1 << 16):
                found += chunk
        return bool(found)

    def close(self) -> None:
        os.close(self._events)
