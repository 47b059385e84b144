"""A file in; held by one process at a time, or seen to be held by another, out.

The kernel frees it at any death of its holder: nobody need believe a number on disk. Standard library only.
"""

from __future__ import annotations

import fcntl
import time
from pathlib import Path
from typing import BinaryIO

#: Seconds between tries.
_LOOK_S = 0.01


def is_held(path: Path) -> bool:
    """Writes nothing: whoever may read the file may ask."""
    try:
        with path.open("rb") as file:
            # Shared: two who look do not take each other for the holder.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def hold(path: Path, patience_s: float) -> BinaryIO | None:
    """Held until the file is closed. None where another has it for longer than anybody takes who only looks."""
    file = path.open("ab")
    deadline = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                file.close()
                return None
            time.sleep(_LOOK_S)
        else:
            return file
