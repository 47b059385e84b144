"""A name and a folder in, a host out: the first process in its namespaces, which makes it look like another machine.

Started by `inside.py` under `unshare`; lives until its stdin ends. Standard library only.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys
from pathlib import Path

#: Of <sys/mount.h>.
_MS_BIND = 0x1000


def _mount(source: str, target: Path, kind: str, flags: int = 0) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(source.encode(), os.fsencode(target), kind.encode(), flags, None):
        raise OSError(ctypes.get_errno(), f"mount {kind} on {target}")


def _only(own: Path, shared: list[str]) -> None:
    """Of the lab's folder, leave the host its own one and those that it shares; the others' are not there."""
    kept = {folder: os.open(folder, os.O_PATH) for folder in (own, *(own.parent / name for name in shared))}
    _mount("none", own.parent, "tmpfs")
    for folder, descriptor in kept.items():
        folder.mkdir()
        _mount(f"/proc/self/fd/{descriptor}", folder, "none", _MS_BIND)
        os.close(descriptor)


def main() -> None:
    own, *shared = sys.argv[1:]
    socket.sethostname(Path(own).name)
    _only(Path(own), shared)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    print("ready", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
