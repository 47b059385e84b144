"""Looks at a run in, a live view that fits the terminal out: progress, what went wrong, and the workers."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from common.logs import printable
from common.protocol.ledger import RunState
from producer.cli.progress_bar import NO_BOX, counted, duration, eta
from producer.monitor.snapshot import Look, WorkerSeen

#: Lines of the view besides those of workers: five above, an empty one, the table's head, and the cursor's.
_FRAME = 9
#: Seconds without a heartbeat after which one is shown as late.
_LATE_S = 3.0


class Screen:
    """On the terminal's other screen, so that a change of its size leaves nothing behind; the last view stays."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, screen=True, auto_refresh=False)
        self._last: Look | None = None

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()
        if self._last is not None:
            self._console.print(view(self._last, self._console.height))

    def show(self, look: Look) -> None:
        self._last = look
        self._live.update(view(look, self._console.height), refresh=True)


def view(look: Look, height: int) -> RenderableType:
    """At most so many lines."""
    parts: list[RenderableType] = [_title(look), *_progress(look)]
    if look.figures is not None:
        parts += [_failures(look.figures.failed_by), _shards(look)]
    if look.away_s:
        parts.append(
            _line(f"nothing is heard from the broker for {look.away_s:.0f} s; this is what it said last", "yellow")
        )
    if look.figures is not None:
        parts += [Text(), _table(look.workers, max(1, height - _FRAME))]
    return Group(*parts)


def _line(text: str, style: str = "") -> Text:
    """One, however narrow the terminal: words of other machines can neither break it nor move the cursor."""
    return Text(printable(text), style=style, no_wrap=True, overflow="ellipsis")


def _title(look: Look) -> Text:
    line, figures = look.line, look.figures
    words = [line.run_id, line.state, line.detector, *([line.name] if line.name else [])]
    if figures is not None:
        words.append(f"owner {'gone from' if line.state == 'interrupted' else 'on'} {figures.host}")
    title = _line("  ".join(words))
    title.stylize("bold", 0, len(line.run_id))
    return title


def _progress(look: Look) -> list[RenderableType]:
    line, progress = look.line, look.progress
    if progress is None:
        return [_line("starting")]
    total = "?" if line.items is None else f"{line.items:,}"
    words = [
        f"{line.done:,}/{total} images",
        f"{progress.images_per_s:.1f} images/s",
        *([] if line.state == RunState.PAUSED else [eta(line.eta_s)]),
        f"elapsed {duration(progress.seconds)}",
        *([NO_BOX] if progress.empty else []),
        *([] if look.over else [counted(line.processes, "process", "es")]),
    ]
    bar = Table.grid(padding=(0, 1), expand=True)
    bar.add_column()
    bar.add_column(ratio=1)
    percent = f"{100 * line.done // line.items}%" if line.items else "-"
    bar.add_row(percent, ProgressBar(total=line.items or 1, completed=line.done))
    return [bar, _line("  ".join(words))]


def _failures(failed_by: Mapping[str, int]) -> Text:
    if not failed_by:
        return _line("0 failed", "dim")
    by = ", ".join(f"{count:,} {code}" for code, count in sorted(failed_by.items(), key=lambda one: -one[1]))
    return _line(f"{sum(failed_by.values()):,} failed: {by}", "red")


def _shards(look: Look) -> Text:
    figures, progress = look.figures, look.progress
    assert figures is not None and progress is not None
    words = [counted(progress.open_shards, "open shard")]
    if progress.open_shards:
        words[0] += f", the oldest for {figures.oldest_open_s:.1f} s"
    words.append(counted(figures.attempts, "attempt"))
    if figures.sent_again_by:
        why = ", ".join(f"{times:,} {why}" for why, times in figures.sent_again_by.items())
        words.append(f"{sum(figures.sent_again_by.values()):,} sent again: {why}")
    if figures.splits:
        words.append(f"{figures.splits:,} split")
    return _line("; ".join(words))


def _table(workers: tuple[WorkerSeen, ...], rows: int) -> Table | Text:
    if not workers:
        return _line("no worker is there", "yellow")
    table = Table(box=None, pad_edge=False, header_style="bold", expand=True)
    table.add_column("host", no_wrap=True, max_width=24)
    for column in ("alive", "images/s", "ms/image", "seen"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("at", no_wrap=True, overflow="ellipsis", ratio=1)
    shown = workers if len(workers) <= rows else workers[: rows - 1]
    for worker in shown:
        table.add_row(*_row(worker), style=_style(worker))
    if rest := workers[len(shown) :]:
        alive, speed = sum(worker.alive for worker in rest), sum(worker.images_per_s for worker in rest)
        table.add_row(_line(f"{len(rest)} more"), str(alive), f"{speed:.1f}", "", "", "")
    return table


def _row(worker: WorkerSeen) -> list[Text]:
    at = "  ".join(f"{one.shard} {one.done}/{one.images}" for one in worker.at)
    return [
        _line(worker.host),
        _line(f"{worker.alive}/{worker.processes}"),
        _line(f"{worker.images_per_s:.1f}"),
        _line("-" if worker.ms_per_image is None else f"{worker.ms_per_image:.1f}"),
        _line(f"{worker.last_seen_s:.0f} s"),
        _line(at or ("idle" if worker.alive else "gone")),
    ]


def _style(worker: WorkerSeen) -> str:
    if worker.alive < worker.processes:
        return "red"
    return "yellow" if worker.last_seen_s > _LATE_S else ""
