"""A small Celery app as `celery -A` serves it: tasks that say which process runs them, and stay busy if asked to."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from common.broker.connect import celery_app

app = celery_app(os.environ["MANYEYES_BROKER_URL"])


@app.task(name="sign")
def sign(folder: str, busy: bool) -> None:
    """Leave a file named like the pool process's pid. A busy one then never returns, and ignores a polite end."""
    Path(folder, str(os.getpid())).touch()
    if busy:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            signal.pause()
