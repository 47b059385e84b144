"""TERM in, the worker's end out, within a bound: whatever hangs on the way, a broker, an image or a disk."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable

import psutil

from common.errors import ExitCode
from common.limits import ENDING_S, GOODBYE_S, HEARTBEAT_S
from worker import systemd

log = logging.getLogger("manyeyes.worker")

#: More than the beacon's thread takes to end.
_TIDY_S = 2 * HEARTBEAT_S

#: Set once, in the worker's parent.
_running: _Deadline | None = None


def begin(failed: Callable[[], bool], tidy: Callable[[], None]) -> None:
    """From now on the time until the end is bounded. Can be repeated.

    `failed`: whether that is no good end. `tidy`: what is still done then, unless it hangs.
    """
    global _running
    if _running is None:
        systemd.notify("STOPPING=1")
        _running = _Deadline(failed, tidy)
        _running.start()


class _Deadline(threading.Thread):
    """Nothing is lost by it: the warden gives back what killed processes had, or its owner misses their heartbeats."""

    def __init__(self, failed: Callable[[], bool], tidy: Callable[[], None]) -> None:
        super().__init__(name="deadline", daemon=True)
        self._failed = failed
        self._tidy = tidy

    def run(self) -> None:
        time.sleep(ENDING_S)
        log.warning("it has not ended for %g s: its processes are killed, and others do what they had", ENDING_S)
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        # The warden tells the broker of their shards, and Celery says goodbye, if somebody listens.
        time.sleep(GOODBYE_S)
        log.warning("it ends without a goodbye: the broker does not answer")
        # Beside: a disk may hang too.
        tidying = threading.Thread(target=self._tidy, name="tidy", daemon=True)
        tidying.start()
        tidying.join(_TIDY_S)
        os._exit(ExitCode.ERROR if self._failed() else ExitCode.OK)
