"""Options in, a storm over a real run; a report on stdout, and exit code 1 where anything was lost or differs."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from chaos.faults import Kinds
from chaos.report import table
from chaos.session import IMAGES_PER_S, Plan, Session
from chaos.storm import Weather
from common.errors import ManyeyesError

EXAMPLES = "\n\n".join(
    (
        "Examples:",
        "python -m chaos --seconds 120 --seed 7",
        "python -m chaos --seconds 600 --workers 3 --json > chaos.json",
        "python -m chaos --seconds 60 --no-poison --folder /tmp/storm",
        "python -m chaos --seconds 60 --only loading --only 'rotated password'",
    )
)

cli = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@cli.command(epilog=EXAMPLES)
def chaos(  # noqa: PLR0913, PLR0917 - each is one option of the command line
    seconds: Annotated[float, typer.Option(min=5, help="How long faults strike.")] = 600,
    seed: Annotated[int, typer.Option(help="Of the faults and of the images.")] = 1,
    workers: Annotated[int, typer.Option(min=1, help="Workers, of 2 processes each.")] = 2,
    images: Annotated[int, typer.Option(min=0, help=f"0: {IMAGES_PER_S} a second.")] = 0,
    every: Annotated[float, typer.Option(min=0.5, help="Seconds between faults, in the mean.")] = 5,
    only: Annotated[
        list[str] | None, typer.Option(metavar="KIND", help="A kind of fault, as the report names it; repeatable.")
    ] = None,
    poison: Annotated[bool, typer.Option(help="Images that segfault, that allocate without end, that hang.")] = True,
    folder: Annotated[
        Path | None, typer.Option(help="A new folder for runs and logs, which is kept. [a temporary one]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """One quiet run, and the same run under random faults: their tables must be the same bytes."""
    if folder is not None and folder.exists():
        raise ManyeyesError(f"--folder {folder} is there already; name a new one")
    kinds = Kinds.all().only(only) if only else Kinds.all()
    plan = Plan(
        Weather(seconds, seed, every, kinds), workers, images or max(round(seconds * IMAGES_PER_S), 400), poison
    )
    place = folder.absolute() if folder else Path(tempfile.mkdtemp(prefix="manyeyes-chaos-"))
    say = Console(stderr=True, highlight=False, markup=False)
    # INT too: a shell ignores it for what it puts in the background, and the producer would inherit that.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    clean = False
    try:
        report = Session(plan, place, lambda line: say.print(_stamped(line), soft_wrap=True)).hold()
        clean = report.clean
    finally:
        if folder is None and clean:
            shutil.rmtree(place)
        else:
            say.print(f"runs and logs are in {place}", soft_wrap=True)
    if as_json:
        print(json.dumps(report.to_json(), indent=1))
    else:
        out = Console(highlight=False)
        out.print(table(report.kinds))
        out.print(report.sentence(), soft_wrap=True, markup=False)
    raise typer.Exit(0 if report.clean else 1)


def _stamped(line: str) -> str:
    """With the local time, as the logs have it."""
    return f"{time.strftime('%H:%M:%S')} {line}"


def main() -> None:
    """An error is one line, as `producer` has it."""
    try:
        cli()
    except ManyeyesError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
