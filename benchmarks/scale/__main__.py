"""Options in; one of the two measurements, as a table and in bench-results/, out."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import machine
from benchmarks.scale import report
from benchmarks.scale.steady import Step
from common.errors import ExitCode, ManyeyesError

Results = Annotated[Path, typer.Option(help="Folder for the results.")]
RESULTS = Path("bench-results")
ITEMS, PROCESSES = "scale-items.json", "scale-processes.json"
#: Items for which the report computes what it costs.
_PAPER = (1_000_000, 10_000_000, 100_000_000)

cli = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@cli.callback()
def about() -> None:
    """How cost grows with items and processes; docs/scale.md has what came of it."""


@cli.command(epilog="Example: python -m benchmarks.scale items --items 100000")
def items(
    items: Annotated[int, typer.Option(min=1000, help="Image files.")] = 1_000_000,
    processes: Annotated[int, typer.Option(min=0, help="Pool processes; 0: one a core.")] = 0,
    folder: Annotated[Path | None, typer.Option(help="Where to work. (default: the temporary folder)")] = None,
    keep: Annotated[bool, typer.Option(help="Leave the images in --folder for the next time.")] = False,
    results: Results = RESULTS,
) -> None:
    """So many images for real, through real workers with a detector that does nothing: 4 minutes and 2 GB a million."""
    from benchmarks.scale.items import measured

    found = asdict(measured(items, processes or machine.cores(), folder and folder.absolute(), keep))
    _write(results / ITEMS, found)
    print(report.items(found))


@cli.command(epilog="Example: python -m benchmarks.scale processes --processes 10 --processes 100 --seconds 20")
def processes(  # noqa: PLR0913, PLR0917 - each is one option of the command line
    processes: Annotated[list[int], typer.Option(help="Simulated processes; once for each step.")] = [10, 100, 1000],  # noqa: B006
    images_per_s: Annotated[
        float, typer.Option(help="Of the largest step, all together; each process has the same speed in all.")
    ] = 10_000,
    seconds: Annotated[float, typer.Option(min=1, help="To look at, once the speed is steady.")] = 60,
    whole: Annotated[int | None, typer.Option(help="Run so many images from first to last instead.")] = None,
    detections: Annotated[int, typer.Option(min=0, help="An image.")] = 5,
    per_worker: Annotated[int, typer.Option(min=1, help="Processes of a worker, at most.")] = 25,
    profile: Annotated[
        bool, typer.Option(help="The owner under cProfile, into the results; it is slower then.")
    ] = False,
    results: Results = RESULTS,
) -> None:
    """Processes that speak the real messages and scripts to a real broker and a real owner, and look at nothing."""
    from benchmarks.scale.processes import measured

    image_s, found = max(processes) / images_per_s, []
    for count in processes:
        prof = (results / f"owner-{count}.prof").absolute() if profile else None
        step = Step(count, image_s, detections, per_worker, seconds, whole, prof)
        print(f"{count:,} processes, {step.items:,} images", file=sys.stderr, flush=True)
        found.append(asdict(measured(step)))
        _write(results / PROCESSES, found)
    print(report.processes(found))


@cli.command(name="report", epilog="Example: python -m benchmarks.scale report")
def report_(results: Results = RESULTS) -> None:
    """The tables again, and what 10 and 100 million images would cost by the item."""
    of_items, of_processes = (_read(results / name) for name in (ITEMS, PROCESSES))
    if of_items is not None:
        print(report.items(of_items["found"]), report.paper(of_items["found"], _PAPER), sep="\n\n", end="\n\n")
    if of_processes is not None:
        print(report.processes(of_processes["found"]))


def _write(path: Path, found: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": asdict(machine.describe()), "found": found}, indent=2, default=str) + "\n")


def _read(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    found: dict[str, Any] = json.loads(path.read_text())
    return found


if __name__ == "__main__":
    os.environ.pop("MANYEYES_BROKER_URL", None)
    try:
        cli()
    except ManyeyesError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(ExitCode.ERROR)
