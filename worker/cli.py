"""`worker start`: options become environment, then Celery's own worker runs."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer
from dotenv import load_dotenv

from common import logs, os_errors, standard_streams, typed_path
from common.errors import ExitCode, UsageError, line_of
from common.redaction import hide, redact

cli = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)


@cli.callback()
def about() -> None:
    """Looks at images for `producer`: loads a detector, takes shards from the broker, stores detections."""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cli.command()
def start(  # noqa: PLR0913, PLR0917 - each is one option of the command line
    detector: Annotated[
        str,
        typer.Option(envvar="MANYEYES_DETECTOR", help="NAME, PATH or NAME=PATH; several separated by commas."),
    ] = "hog",
    concurrency: Annotated[
        int,
        typer.Option(
            "--concurrency", "-c", envvar="MANYEYES_CONCURRENCY", min=0, max=1024, help="Processes; 0: one a core."
        ),
    ] = 0,
    broker: Annotated[
        str | None,
        typer.Option(
            *("--broker", "--join"),
            envvar=["MANYEYES_BROKER_URL", "CELERY_BROKER_URL"],
            help="redis://HOST:6379/0, as `producer up` prints it, or a file that holds it.",
            show_envvar=True,
        ),
    ] = None,
    head: Annotated[
        str | None, typer.Option(envvar="MANYEYES_HEAD", help="How an ONNX model's outputs are read.")
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            parser=typed_path.path, envvar="MANYEYES_LABELS", help="A file with one class name a line, or coco."
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            parser=typed_path.path,
            envvar="MANYEYES_WEIGHTS",
            help="A Darknet .cfg's weights, where they are not found.",
        ),
    ] = None,
    root: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FOLDER|URL",
            help="What it may read: folders, beginnings of URLs, or '*' for all; several, or separated by commas. "
            "Without: no file of this machine, and http(s), s3 and gs. (env var: MANYEYES_ROOTS)",
        ),
    ] = None,
    map_: Annotated[
        str | None,
        typer.Option(
            "--map",
            envvar="MANYEYES_MAP",
            metavar="THERE=HERE",
            help="A folder of the producer's machine, or a URL, and its name here, which may be read then; several "
            "separated by commas.",
        ),
    ] = None,
    memory_limit: Annotated[
        int,
        typer.Option(
            envvar="MANYEYES_MEMORY_LIMIT", min=0, help="Megabytes that one process may hold; 0: what there is."
        ),
    ] = 0,
    remote_control: Annotated[
        bool,
        typer.Option(
            "--remote-control",
            envvar="MANYEYES_REMOTE_CONTROL",
            help="Obey Celery's remote commands that change a worker too: `celery control shutdown` and so on.",
        ),
    ] = False,
    loglevel: Annotated[str, typer.Option(envvar="MANYEYES_LOGLEVEL", help="Celery's log level.")] = "INFO",
    log: Annotated[
        str | None,
        typer.Option(envvar=logs.VARIABLE, metavar="text|json", help="How log lines are written. (default: text)"),
    ] = None,
) -> None:
    """Start one worker on this machine.

    Examples:  MANYEYES_BROKER_URL=redis://head:6379/0 worker start --detector best.onnx --concurrency 4

    worker start --join hub.url     (there:  producer url worker > hub.url; copy it here)

    worker start --root /data --root s3://bucket/photos/     (what it may read: files there, and objects)

    worker start --map /data=/mnt/photos     (where the producer's /data has that name)

    worker start --log json 2>&1 | jq 'select(.shard)'     (docs/logs.md)

    The model is checked first, in a process of its own; each pool process then loads it once.
    `celery -A worker.app worker --without-mingle --without-gossip` does the same, with Celery's own options.
    """
    from common.broker import url_file

    broker = broker and url_file.absolute(broker)
    options = {
        "MANYEYES_DETECTOR": detector,
        "MANYEYES_BROKER_URL": broker,
        "MANYEYES_HEAD": head,
        "MANYEYES_LABELS": str(labels) if labels else None,
        "MANYEYES_WEIGHTS": str(weights) if weights else None,
        # Not by typer, which takes a blank in the environment's for a separator.
        "MANYEYES_ROOTS": ",".join(root) if root else None,
        "MANYEYES_MAP": map_,
        "MANYEYES_MEMORY_LIMIT": str(memory_limit),
        logs.VARIABLE: logs.Form.parse(log) if log else None,
        "MANYEYES_REMOTE_CONTROL": str(remote_control),
    }
    os.environ.update({name: value for name, value in options.items() if value is not None})
    if broker is not None:
        from common.broker.connect import check_url

        check_url(broker)
    # Imported now, not above: it reads the environment.
    from worker.app import app, exit_code

    arguments = ["--concurrency", str(concurrency or cores()), "--loglevel", loglevel]
    app.worker_main(["worker", *arguments, "--without-mingle", "--without-gossip"])
    raise typer.Exit(exit_code())


@cli.command(epilog="Example:  HEALTHCHECK CMD worker health --local")
def health(
    broker: Annotated[
        str | None,
        typer.Option(envvar=["MANYEYES_BROKER_URL", "CELERY_BROKER_URL"], help="redis://HOST:6379/0", show_envvar=True),
    ] = None,
    worker: Annotated[
        str | None, typer.Option(envvar="MANYEYES_WORKER", help="Only this node, as its log names it.")
    ] = None,
    local: Annotated[
        bool, typer.Option("--local", help="Without the broker: whether they live, or must be started again.")
    ] = False,
) -> None:
    """Say whether this machine's workers do their work: exit code 0, or 1 and what ails them.

    Looks at heartbeats, pool processes and progress; loads no model. With --local, at what this user's workers
    note on this machine: a broker that is away is no fault of theirs, nor is a start that takes a while.
    """
    if local:
        from worker.pool.local_health import check as check_local

        print(check_local(worker))
        return
    if broker is None:
        raise UsageError("no broker: set MANYEYES_BROKER_URL=redis://HOST:6379/0, or pass --broker")
    from worker.pool.health import check

    print(check(broker, worker))


def main() -> None:
    standard_streams.settle()
    hide(("--broker", "--join"), "MANYEYES_BROKER_URL", "worker.cli")
    try:
        load_dotenv(Path(".env"))
        os_errors.check_working_folder()
        os_errors.allow_files()
        cli()
    except standard_streams.ReaderGone:
        sys.exit(ExitCode.OK)
    except Exception as error:
        if (line := line_of(error)) is None:
            print(redact(traceback.format_exc()), end="", file=sys.stderr)
            line = "this is a defect of manyeyes; please report it with the lines above"
        logs.last_words(line, logs.wanted())
        sys.exit(getattr(error, "exit_code", ExitCode.ERROR))


if __name__ == "__main__":
    main()
