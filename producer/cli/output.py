"""Runs and their progress in, what a person or a script reads of them out."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from common import logs
from common.errors import ExitCode, UsageError
from common.protocol.ledger import RunState
from common.standard_streams import ReaderGone
from producer.rundir.run_directory import RunDir

if TYPE_CHECKING:
    from producer.results.assemble import Outcome
    from producer.run.session import Talk

log = logging.getLogger("producer")

SUBMIT_EXAMPLES = "\n\n".join(
    (
        "Examples:",
        "producer submit photos/",
        "producer submit photos/ --detector best.onnx --conf 0.4 --output results/",
        "producer submit 'photos/**/*.jpg' more.txt --classes person --format coco,yolo",
        "producer submit photos/ --exclude '*_thumb.jpg' --exclude raw/",
        "producer submit train.txt     (a list: one path a line)",
        "producer submit thermal/ --scale 2%:98%",
        "MANYEYES_BROKER_URL=redis://head:6379/0 producer submit photos/ --detector yolox-s",
    )
)
WATCH_EXAMPLES = "\n\n".join(
    (
        "Examples:",
        "producer watch",
        "MANYEYES_BROKER_URL=redis://head:6379/0 producer watch 20261121-1055     (from any machine)",
        "producer watch --json | jq -r '.workers[] | [.host, .images_per_s] | @tsv'",
    )
)
RESULTS_EXAMPLES = "\n\n".join(
    (
        "Examples:",
        "producer results --conf 0.6 --format coco --to strict.json",
        "producer results 20261121-1055 --classes person --format yolo --to labels/",
    )
)
#: Columns of what is not a terminal.
_PIPE_COLUMNS = 200


def formats_of(text: str) -> tuple[str, ...]:
    from jobs.detect.exports import FORMATS

    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not names:
        raise UsageError(f"--format is empty; choose of {', '.join(FORMATS)}")
    for name in names:
        if name not in FORMATS:
            raise UsageError(f"--format {name} is not known; choose of {', '.join(FORMATS)}")
    return names


def shard_size_of(text: str) -> int | None:
    from common.limits import MAX_SHARD_ITEMS

    if text == "auto":
        return None
    if not re.fullmatch("[0-9]{1,9}", text) or not 1 <= int(text) <= MAX_SHARD_ITEMS:
        raise UsageError(f"--shard-size {text} is not possible; give auto, or 1 to {MAX_SHARD_ITEMS}")
    return int(text)


class _Stderr(logging.Handler):
    """Whatever is the standard error now: above a live bar, that is the bar's own."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr, flush=True)


def run_to_end(run: Callable[[Talk], Outcome], console: Console, as_json: bool) -> int:
    """Own a run with progress on stderr and its result on stdout; returns the exit code."""
    from producer.cli.progress_bar import reporter
    from producer.run.session import RunInterrupted, Talk

    form = logs.wanted()
    logs.setup(form, logging.WARNING, _Stderr())
    log.setLevel(logging.INFO)

    def reserved(rundir: RunDir) -> None:
        logs.here(run=rundir.run)
        say(f"run {rundir.run}")
        if fd := os.environ.pop("MANYEYES_REPORT_FD", None):
            os.write(int(fd), f"{rundir.run}\n{rundir.path}\n".encode())
            os.close(int(fd))

    def say(line: str) -> None:
        if form is not None:
            log.info("%s", line)
        else:
            console.print(line, markup=False, highlight=False, soft_wrap=True)

    try:
        # A bar stays where it moves, for whoever has asked for times in text.
        in_lines = form is logs.Form.JSON or (form is not None and not console.is_terminal)
        with reporter(console, log if in_lines else None) as report:
            outcome = run(Talk(report, say, reserved))
    except RunInterrupted as stopped:
        rundir = stopped.rundir
        if not (rundir.path / "run.json").exists():
            say("interrupted before the run began; nothing is left of it")
        else:
            say(f"interrupted; what is done is kept. To go on:  {rundir.command('resume')}")
        return ExitCode.INTERRUPTED
    for notice in outcome.notices:
        say(notice)
    with contextlib.suppress(ReaderGone):  # the run has ended as it has, whoever reads of it
        if as_json:
            print(json.dumps(outcome.to_json()))
        else:
            from producer.results.timings import summary_table

            stdout().print(summary_table(outcome))
    return exit_code(outcome)


def stdout() -> Console:
    """Wide where nobody looks: a pipe's reader wants whole numbers."""
    return Console() if sys.stdout.isatty() else Console(width=_PIPE_COLUMNS)


def exit_code(outcome: Outcome) -> int:
    if outcome.state == RunState.STOPPED:
        return ExitCode.STOPPED
    if outcome.pending or outcome.state != RunState.DONE:
        return ExitCode.INCOMPLETE
    if outcome.missing or outcome.unpublished:
        return ExitCode.ERROR
    return ExitCode.SOME_FAILED if outcome.failed else ExitCode.OK


def show_receipt(rundir: RunDir, deep: bool, console: Console, as_json: bool) -> int:
    """What agrees on stdout, what differs on stderr; the exit code."""
    from producer.cli.progress_bar import reporter
    from producer.verify.verify import verify

    if deep:
        with reporter(console) as report:
            receipt = verify(rundir, deep, report.files)
    else:
        receipt = verify(rundir, deep)
    if as_json:
        print(json.dumps(receipt.to_json()))
    if not (as_json and receipt.agrees):
        print("\n".join(receipt.lines()), file=sys.stdout if receipt.agrees else sys.stderr)
    return ExitCode.OK if receipt.agrees else ExitCode.INCOMPLETE


@dataclass(frozen=True, slots=True)
class Again:
    """What `results` was asked for; None: as at submit."""

    conf: float | None
    classes: str | None
    max_det: int | None
    format: str
    to: Path | None
    truth: Path | None


def export_again(rundir: RunDir, again: Again, console: Console) -> tuple[Path, ...]:
    """Raises UsageError for a run that has no tables yet, and for a view that they cannot answer."""
    from jobs.detect.exports import check_destination, check_truth, export
    from jobs.detect.selection import View
    from producer.run.plan import class_ids

    spec, state = rundir.spec(), rundir.state()
    if not state.finished:
        raise UsageError(f"run {rundir.run} is not finished; to complete it:  {rundir.command('resume')}")
    formats = formats_of(again.format)
    if again.to is not None and not again.to.is_dir() and len(formats) > 1:
        raise UsageError(f"--to {again.to} takes one format, not {again.format}; name one, or a folder")
    asked = View.of(spec)
    view = View(
        conf=asked.conf if again.conf is None else again.conf,
        classes=asked.classes if again.classes is None else class_ids(again.classes, spec.labels),
        max_det=asked.max_det if again.max_det is None else again.max_det,
    )
    view.check(spec)
    check_destination(formats, rundir.path, again.to)
    if again.truth is not None:
        check_truth(again.truth)
    paths: list[Path] = []
    for name in formats:
        truth = again.truth if name == "coco" or "coco" not in again.format else None
        exported = export(name, rundir.path, spec, view, again.to, truth)
        if exported.notice:
            console.print(exported.notice, markup=False, highlight=False, soft_wrap=True)
        paths += exported.paths
    return tuple(paths)
