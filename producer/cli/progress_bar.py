"""A run's progress in, a bar on a terminal or plain lines elsewhere out."""

from __future__ import annotations

import logging
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from common.logs import printable
from common.protocol.ledger import RunState
from producer.rundir.progress import Progress

if TYPE_CHECKING:
    from rich.console import Console

#: Seconds between plain lines where there is no terminal.
_PLAIN_EVERY_S = 5.0
#: Seconds between redraws of a bar that is told of every file.
_DRAW_EVERY_S = 0.2
#: Of many images, down to the floor.
NO_BOX = "not one box yet"


def duration(seconds: float) -> str:
    """1:02:03, or 2:03 below an hour."""
    whole = int(seconds + 0.5)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def eta(seconds: float | None) -> str:
    """When the end is to come; unknown: none."""
    return "ETA -" if seconds is None else f"ETA {duration(seconds)}"


def describe(progress: Progress) -> str:
    """One line for people."""
    total = "?" if progress.items is None else f"{progress.items:,}"
    paused = progress.state == RunState.PAUSED
    parts = [
        *(["paused"] if paused else []),
        f"{progress.done:,}/{total} images",
        f"{progress.images_per_s:.1f} images/s",
        *([] if paused else [eta(progress.eta_s)]),
        f"{progress.failed:,} failed",
        _crew(progress),
    ]
    if progress.empty:
        parts.append(NO_BOX)
    if progress.sent_again:
        parts.append(f"{counted(progress.sent_again, 'shard')} sent again")
    return ", ".join(parts)


def _crew(progress: Progress) -> str:
    if progress.processes == 0:
        return "no worker yet"
    return f"{counted(progress.workers, 'worker')} ({counted(progress.processes, 'process', 'es')})"


def counted(number: int, noun: str, plural: str = "s") -> str:
    """1 shard, 2 shards."""
    return f"{number:,} {noun}{plural * (number != 1)}"


def _files(done: int, total: int) -> str:
    return f"{done:,}/{total:,} images compared with their files"


class PlainReporter:
    """Lines without control characters, for logs."""

    def __init__(self, log: logging.Logger | None = None) -> None:
        self._log = log
        self._last, self._state = 0.0, ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._last >= _PLAIN_EVERY_S or progress.state != self._state:
            self._last, self._state = now, progress.state
            if self._log is not None:
                self._log.info("%s", describe(progress))
            else:
                print(printable(f"{progress.run}: {describe(progress)}"), file=sys.stderr, flush=True)

    def files(self, done: int, total: int) -> None:
        """How many files `verify` has read again."""
        now = time.monotonic()
        if now - self._last >= _PLAIN_EVERY_S or done == total:
            self._last = now
            print(_files(done, total), file=sys.stderr, flush=True)


class BarReporter:
    """One live line on a terminal."""

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, Progress, TextColumn

        # Redrawn when the owner reports, once a second: a faster clock would take cores from the workers.
        self._bar = Progress(
            TextColumn("[bold]{task.fields[percent]}"),
            BarColumn(bar_width=None),
            TextColumn("{task.description}"),
            console=console,
            auto_refresh=False,
            transient=True,
        )
        self._task = self._bar.add_task("starting", total=None, percent="  -")
        self._drawn = 0.0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, progress: Progress) -> None:
        self._draw(progress.done, progress.items, describe(progress))

    def files(self, done: int, total: int) -> None:
        """How many files `verify` has read again."""
        now = time.monotonic()
        if now - self._drawn >= _DRAW_EVERY_S or done == total:
            self._drawn = now
            self._draw(done, total, _files(done, total))

    def _draw(self, done: int, total: int | None, description: str) -> None:
        percent = f"{100 * done // total:3d}%" if total else "  -"
        self._bar.update(
            self._task, completed=done, total=total, description=description, percent=percent, refresh=True
        )


def reporter(console: Console, log: logging.Logger | None = None) -> BarReporter | PlainReporter:
    """With a log, its lines."""
    return BarReporter(console) if console.is_terminal and log is None else PlainReporter(log)
