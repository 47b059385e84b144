"""`producer doctor`: a set-up in, a line for each thing that was looked at out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from common import typed_path
from common.errors import ExitCode
from common.logs import printable
from producer.cli.options import CLUSTER_PANEL, Broker, Output

commands = typer.Typer()

EXAMPLES = "\n\n".join(
    (
        "Examples:",
        "producer doctor",
        "MANYEYES_BROKER_URL=$(producer url) producer doctor photos/",
        "producer doctor --json | jq '.[] | select(.level != \"ok\")'",
    )
)
_STYLES = {"ok": "green", "note": "cyan", "warning": "yellow", "failed": "bold red"}


@commands.command(rich_help_panel=CLUSTER_PANEL, epilog=EXAMPLES)
def doctor(
    datasets: Annotated[
        list[str] | None,
        typer.Argument(parser=typed_path.text, help="A dataset, to see whether the workers can read it."),
    ] = None,
    broker: Broker = None,
    output: Output = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", envvar="MANYEYES_JSON", help="One JSON list on stdout.")] = False,
) -> None:
    """Look at the set-up: this machine, the broker, the workers and the runs; say what is wrong, and what to do.

    Changes nothing. Exit code 1 where something fails, else 0.
    """
    from producer import doctor as examination
    from producer.cli import output as show

    found = []
    console = show.stdout()
    for one in examination.examine(broker, datasets or [], output):
        found.append(one)
        if not as_json:
            # Names that workers, owners and strangers have given themselves are among the words.
            words, remedy = printable(one.words), printable(one.remedy)
            line = Text.assemble((f"{one.level:<8}", _STYLES[one.level]), f"{one.part:<16}{words}")
            if remedy:
                line.append(f"\n{'':<24}-> {remedy}")
            console.print(line, soft_wrap=True)
    if as_json:
        print(json.dumps([one.to_json() for one in found]))
    if any(one.level == "failed" for one in found):
        raise typer.Exit(ExitCode.ERROR)
