"""The arguments and options that several commands share: their types, environment twins and help."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from common import logs, typed_path

#: The parts of `producer --help`.
RUN_PANEL, LOOK_PANEL, CLUSTER_PANEL = "Run", "Look at results", "Cluster"

Run = Annotated[
    str, typer.Argument(parser=typed_path.text, help="A run's id, a unique prefix of one, its folder, or `latest`.")
]
Output = Annotated[
    Path, typer.Option(parser=typed_path.path, envvar="MANYEYES_OUTPUT", help="The folder that holds run directories.")
]
Broker = Annotated[
    str | None,
    typer.Option(
        envvar=["MANYEYES_BROKER_URL", "CELERY_BROKER_URL"],
        help="redis://HOST:6379/0, or a file that holds it. Without one: an embedded broker and local workers.",
    ),
]
MaxFailures = Annotated[
    str | None,
    typer.Option(
        envvar="MANYEYES_MAX_FAILURES",
        metavar="N|P%",
        help="Stop when more images than these fail, with exit code 4. (default: never)",
    ),
]
Labels = Annotated[
    Path | None,
    typer.Option(parser=typed_path.path, envvar="MANYEYES_LABELS", help="A file with one class name a line, or coco."),
]
Weights = Annotated[
    Path | None,
    typer.Option(
        parser=typed_path.path,
        envvar="MANYEYES_WEIGHTS",
        help="A Darknet .cfg's weights, where they are not found beside it.",
    ),
]
Truth = Annotated[
    Path | None,
    typer.Option(
        parser=typed_path.path, envvar="MANYEYES_TRUTH", help="A COCO file whose image and category ids to use."
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(
        metavar="GLOB",
        help="Leave out files and folders of this name or, with a / in it, of this path from the dataset's root on; "
        "repeatable. (env var: MANYEYES_EXCLUDE, separated by commas)",
    ),
]


def excluded(given: list[str] | None) -> tuple[str, ...]:
    """What was typed, else what the environment says. Not by typer, which takes a blank for a separator there."""
    if given is not None:
        return tuple(given)
    return tuple(part.strip() for part in os.environ.get("MANYEYES_EXCLUDE", "").split(",") if part.strip())


AsJson = Annotated[bool, typer.Option("--json", envvar="MANYEYES_JSON", help="One JSON object on stdout.")]


def _log(text: str | None) -> str | None:
    """In the environment local workers and a detached owner find it too."""
    if text is not None:
        os.environ[logs.VARIABLE] = logs.Form.parse(text)
    return text


Log = Annotated[
    str | None,
    typer.Option(
        "--log",
        envvar=logs.VARIABLE,
        metavar="text|json",
        callback=_log,
        help="Lines on stderr, and those of local workers, with time, run and shard. (default: plain sentences)",
    ),
]
Known = Annotated[
    str | None,
    typer.Option(
        "--broker",
        envvar=["MANYEYES_BROKER_URL", "CELERY_BROKER_URL"],
        help="redis://HOST:6379/0, or a file with it: knows other machines' runs, and the workers. (default: none)",
    ),
]
JsonLines = Annotated[
    bool,
    typer.Option("--json", envvar="MANYEYES_JSON", help="One JSON object a second on stdout, the last at the end."),
]
Wait = Annotated[
    float,
    typer.Option(
        envvar="MANYEYES_WAIT",
        metavar="SECONDS",
        min=0,
        help="With a broker: how long to wait for it to be there, and for a worker that serves the detector.",
    ),
]
Publish = Annotated[
    str | None,
    typer.Option(
        parser=typed_path.text,
        envvar="MANYEYES_PUBLISH",
        metavar="URL",
        help="Copy the outputs to URL/RUN when the run is done: s3://, gs://, a folder. (default: nowhere)",
    ),
]
Priority = Annotated[
    str,
    typer.Option(
        envvar="MANYEYES_PRIORITY",
        metavar="N",
        help="Weight among runs on the same workers, 1 to 100: 3 beside 1 gets three quarters of their time.",
    ),
]
Way = Annotated[
    str,
    typer.Option(
        "--transport",
        envvar="MANYEYES_TRANSPORT",
        metavar="auto|path|redis|url",
        help="auto: workers are asked, and what one does not see goes through Redis; path: workers read the files; "
        "redis: this machine ships them; url: workers read the URLs, or the run ends.",
    ),
]
OtherWay = Annotated[
    str | None,
    typer.Option(
        "--transport",
        envvar="MANYEYES_TRANSPORT",
        metavar="auto|path|redis|url",
        help="Another way for images to reach workers. (default: as before)",
    ),
]
ShipWindow = Annotated[
    int,
    typer.Option(
        envvar="MANYEYES_SHIP_WINDOW", metavar="MB", min=1, help="Megabytes of images that may be in Redis at a time."
    ),
]
OtherShipWindow = Annotated[
    int | None,
    typer.Option(
        "--ship-window",
        envvar="MANYEYES_SHIP_WINDOW",
        metavar="MB",
        min=1,
        help="Another bound on the megabytes of images in Redis. (default: as before)",
    ),
]
OtherPriority = Annotated[
    str | None,
    typer.Option(
        envvar="MANYEYES_PRIORITY",
        metavar="N",
        help="Another weight among runs on the same workers, 1 to 100. (default: as before)",
    ),
]
