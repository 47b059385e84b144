"""Linux's prctl: children that die with their parent, orphans that come to us. Elsewhere both do nothing."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable

#: Numbers of <linux/prctl.h>.
_SET_PDEATHSIG = 1
_SET_CHILD_SUBREAPER = 36


def die_with_parent() -> Callable[[], None] | None:
    """A Popen `preexec_fn`: the kernel kills the child when the thread that starts it ends, however it ends."""
    if sys.platform != "linux":
        return None
    prctl, parent = _prctl(), os.getpid()

    def in_child() -> None:
        prctl(_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        # The parent may have died between the fork and the line above.
        if os.getppid() != parent:
            os._exit(1)

    return in_child


def adopt_orphans() -> None:
    """Processes below this one whose parent dies become its children, not init's."""
    if sys.platform == "linux":
        _prctl()(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _prctl() -> Callable[..., int]:
    import ctypes

    function: Callable[..., int] = ctypes.CDLL(None).prctl
    return function
