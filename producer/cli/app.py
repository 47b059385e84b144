"""The `producer` command: options in, one call of the module that does it, an exit code out."""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer
from dotenv import load_dotenv
from rich.console import Console

from common import __version__, logs, os_errors, standard_streams, typed_path
from common.errors import ExitCode, UsageError
from common.limits import DEFAULT_IMAGE_TIMEOUT_S, DEFAULT_MAX_PIXELS, DEFAULT_PRIORITY, SHIP_WINDOW_BYTES
from common.redaction import redact
from producer.cli import doctor, hub, monitor
from producer.cli import output as show
from producer.cli.options import (
    LOOK_PANEL,
    RUN_PANEL,
    AsJson,
    Broker,
    Exclude,
    JsonLines,
    Known,
    Labels,
    Log,
    MaxFailures,
    OtherPriority,
    OtherShipWindow,
    OtherWay,
    Output,
    Priority,
    Publish,
    Run,
    ShipWindow,
    Truth,
    Wait,
    Way,
    Weights,
    excluded,
)
from producer.monitor.run_list import RunLine, run_lines, runs_table
from producer.rundir import run_directory as rundirs
from producer.rundir.run_directory import RunDir
from producer.scheduler.fair_share import priority_of

cli = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)
cli.add_typer(hub.commands)
cli.add_typer(doctor.commands)
cli.add_typer(monitor.commands)

RUNS = Path("runs")
#: All of a run's words but its result go here, so that stdout can be piped.
console = Console(stderr=True)


def _say(line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def _version(asked: bool) -> None:
    if asked:
        print(f"manyeyes {__version__}")
        raise typer.Exit


@cli.callback()
def about(
    debug: Annotated[bool, typer.Option(envvar="MANYEYES_DEBUG", help="Show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Say which this is, and end.")
    ] = False,
) -> None:
    """Detect objects in a folder of images, on this machine or on many.

    producer submit photos/
    """


@cli.command(rich_help_panel=RUN_PANEL, epilog=show.SUBMIT_EXAMPLES)
def submit(  # noqa: PLR0913, PLR0917 - each is one option of the command line
    ctx: typer.Context,
    datasets: Annotated[
        list[str],
        typer.Argument(parser=typed_path.text, help="Folders, globs, images, lists (.txt) or - ; URLs of them."),
    ],
    detector: Annotated[
        str, typer.Option(envvar="MANYEYES_DETECTOR", help="NAME, PATH or NAME=PATH; `producer detectors` lists names.")
    ] = "hog",
    conf: Annotated[
        float | None, typer.Option(envvar="MANYEYES_CONF", help="Least score shown. (default: the detector's)")
    ] = None,
    iou: Annotated[
        float | None,
        typer.Option(envvar="MANYEYES_IOU", help="Overlap at which the lesser box goes. (default: the detector's)"),
    ] = None,
    imgsz: Annotated[
        str | None, typer.Option(envvar="MANYEYES_IMGSZ", help="640, or HEIGHTxWIDTH. (default: the model's)")
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(envvar="MANYEYES_CLASSES", help="person,car or 0,2: only these are shown. (default: all)"),
    ] = None,
    max_det: Annotated[int, typer.Option(envvar="MANYEYES_MAX_DET", help="Boxes shown an image, at most.")] = 300,
    floor: Annotated[
        float | None,
        typer.Option(envvar="MANYEYES_FLOOR", help="Least score stored, for `results --conf`. (default: 0.01)"),
    ] = None,
    max_pixels: Annotated[
        int, typer.Option(envvar="MANYEYES_MAX_PIXELS", help="Larger images fail before they are decoded.")
    ] = DEFAULT_MAX_PIXELS,
    scale: Annotated[
        str | None,
        typer.Option(
            envvar="MANYEYES_SCALE",
            help="Of images deeper than 8 bits, the values that become 0 and 255: MIN:MAX as 0:4000, or percentiles "
            "of each image as 2%:98%. (default: the whole range of their type)",
        ),
    ] = None,
    exclude: Exclude = None,
    limit: Annotated[int | None, typer.Option(envvar="MANYEYES_LIMIT", min=1, help="Only the first N images.")] = None,
    image_timeout: Annotated[
        float,
        typer.Option(
            envvar="MANYEYES_IMAGE_TIMEOUT", min=0, max=86400, help="Seconds that one image may take; 0: no bound."
        ),
    ] = DEFAULT_IMAGE_TIMEOUT_S,
    max_failures: MaxFailures = None,
    priority: Priority = str(DEFAULT_PRIORITY),
    transport: Way = "auto",
    ship_window: ShipWindow = SHIP_WINDOW_BYTES >> 20,
    output: Output = RUNS,
    publish: Publish = None,
    name: Annotated[str | None, typer.Option(envvar="MANYEYES_NAME", help="A name for people.")] = None,
    formats: Annotated[
        str,
        typer.Option(
            "--format", envvar="MANYEYES_FORMAT", help="What to write at the end, of coco,csv,jsonl,yolo,voc."
        ),
    ] = "coco,csv",
    truth: Truth = None,
    concurrency: Annotated[
        int,
        typer.Option(
            "--concurrency", "-c", envvar="MANYEYES_CONCURRENCY", min=0, help="Local processes; 0: one a core."
        ),
    ] = 0,
    head: Annotated[
        str | None, typer.Option(envvar="MANYEYES_HEAD", help="How an ONNX model's outputs are read.")
    ] = None,
    labels: Labels = None,
    weights: Weights = None,
    shard_size: Annotated[
        str, typer.Option(envvar="MANYEYES_SHARD_SIZE", help="Images a task, or auto: about 2 s of work.")
    ] = "auto",
    signed_urls: Annotated[
        bool,
        typer.Option(
            "--signed-urls",
            envvar="MANYEYES_SIGNED_URLS",
            help="Take URLs with a signature, key or token, which run.json and the tables will show.",
        ),
    ] = False,
    broker: Broker = None,
    log: Log = None,
    wait: Wait = 0.0,
    detach: Annotated[
        bool, typer.Option("--detach", envvar="MANYEYES_DETACH", help="Go on in the background; print the run's id.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Detect objects in a dataset: run it to the end, and write tables, exports and a preview."""
    if detach:
        from producer.run import detach as background

        raise typer.Exit(background.start(sys.argv[1:], as_json))
    from producer.cluster.connect import Launch
    from producer.relay.transport import Transport
    from producer.results.assemble import Outputs
    from producer.run.plan import DetectionChoices, absolute_detector, absolute_file
    from producer.run.submit import Request
    from producer.run.submit import submit as run

    if broker is None and logs.wanted() is not logs.Form.JSON:
        hub.note_of_idle_hub()
    for option in ("head", "labels", "weights", "concurrency"):
        if broker is not None and _typed(ctx, option):
            raise UsageError(f"--{option} is for local workers; with a broker give it to `worker start`")
    request = Request(
        datasets=tuple(datasets),
        output=output,
        broker_url=broker,
        launch=Launch(
            absolute_detector(detector),
            head,
            str(labels.absolute()) if labels else None,
            concurrency,
            absolute_file(weights),
        ),
        choices=DetectionChoices(
            *(conf, iou, imgsz, classes, max_det, floor, max_pixels, limit, image_timeout, scale),
            exclude=excluded(exclude),
        ),
        outputs=Outputs(show.formats_of(formats), str(truth.absolute()) if truth else None),
        publish=publish,
        name=name,
        shard_size=show.shard_size_of(shard_size),
        max_failures=max_failures,
        priority=priority_of(priority),
        transport=Transport.parse(transport, ship_window),
        signed_urls=signed_urls,
        wait_s=wait,
    )
    raise typer.Exit(show.run_to_end(lambda talk: run(request, talk), console, as_json))


def _typed(ctx: typer.Context, option: str) -> bool:
    """Whether the user typed it now; a default or the environment may be meant for `worker start`."""
    source = ctx.get_parameter_source(option)
    return source is not None and source.name == "COMMANDLINE"


def _find(output: Path, name: str, broker: str | None, verb: str) -> RunDir:
    """A run of that folder, or one that the broker knows of and this user has elsewhere."""
    try:
        return rundirs.find(output, name)
    except rundirs.NoSuchRun as missing:
        from producer.run.locate import beyond  # only now: redis-py is slow to load

        return beyond(missing, name, broker, verb)


@cli.command(
    rich_help_panel=RUN_PANEL, epilog="Examples:  producer resume latest\n\nproducer resume latest --retry-failed"
)
def resume(  # noqa: PLR0913, PLR0917 - each is one option
    run: Run = "latest",
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", envvar="MANYEYES_RETRY_FAILED", help="Look at failed images once more.")
    ] = False,
    max_failures: MaxFailures = None,
    priority: OtherPriority = None,
    transport: OtherWay = None,
    ship_window: OtherShipWindow = None,
    output: Output = RUNS,
    broker: Broker = None,
    log: Log = None,
    wait: Wait = 0.0,
    as_json: AsJson = False,
) -> None:
    """Do exactly what is missing of a run: interrupted, killed or stopped, or with outputs that were deleted."""
    from producer.run.resume import Again
    from producer.run.resume import resume as go_on

    again = Again(
        retry_failed,
        max_failures,
        None if priority is None else priority_of(priority),
        transport,
        ship_window,
        wait,
    )
    rundir = _find(output, run, broker, "resume")
    raise typer.Exit(show.run_to_end(lambda talk: go_on(rundir, broker, again, talk), console, as_json))


@cli.command(rich_help_panel=RUN_PANEL, epilog="Example:  producer pause latest")
def pause(run: Run = "latest", output: Output = RUNS, broker: Known = None) -> None:
    """Let a run rest: its workers are free for others within a second, and nothing of it is lost."""
    from producer.run.pause import pause as rest

    print(rest(_find(output, run, broker, "pause"), True, _say))


@cli.command(rich_help_panel=RUN_PANEL, epilog="Example:  producer unpause latest")
def unpause(run: Run = "latest", output: Output = RUNS, broker: Known = None) -> None:
    """Let a paused run go on."""
    from producer.run.pause import pause as rest

    print(rest(_find(output, run, broker, "unpause"), False, _say))


@cli.command(rich_help_panel=LOOK_PANEL, epilog="Example:  producer runs --output results/")
def runs(output: Output = RUNS, as_json: AsJson = False) -> None:
    """List the runs of a folder, oldest first."""
    found, unreadable = run_lines(rundirs.all_runs(output))
    for line in unreadable:
        _say(line)
    if as_json:
        print(json.dumps([run.to_json() for run in found]))
    elif not found:
        console.print(f"no runs in {output} yet:  producer submit DATASET")
    else:
        show.stdout().print(runs_table(found))


@cli.command(rich_help_panel=LOOK_PANEL, epilog="Example:  producer status 20261121-1055 --json")
def status(run: Run = "latest", output: Output = RUNS, broker: Known = None, as_json: AsJson = False) -> None:
    """Say once how far a run is: one on this disk, or one that the broker knows of."""
    try:
        line = RunLine.of(rundirs.find(output, run))
    except UsageError:
        if broker is None:
            raise
        from producer.monitor.watch import find

        line = find(output, run, broker).look().line
    print(json.dumps(line.to_json()) if as_json else line.sentence())


@cli.command(rich_help_panel=LOOK_PANEL, epilog=show.WATCH_EXAMPLES)
def watch(run: Run = "latest", output: Output = RUNS, broker: Known = None, as_json: JsonLines = False) -> None:
    """Follow a run, and its workers, until it ends; Ctrl-C stops the watching only.

    A run that is not on this disk is watched through the broker, from any machine.
    """
    from producer.monitor.watch import find, follow

    raise typer.Exit(follow(find(output, run, broker), console, as_json))


@cli.command(rich_help_panel=RUN_PANEL, epilog="Example:  producer cancel latest")
def cancel(run: Run = "latest", output: Output = RUNS, broker: Broker = None) -> None:
    """Stop a run for good; what is done is kept and written out."""
    from producer.run.cancel import cancel as stop

    print(stop(_find(output, run, broker, "cancel"), broker, _say))


@cli.command(rich_help_panel=LOOK_PANEL, epilog=show.RESULTS_EXAMPLES)
def results(  # noqa: PLR0913, PLR0917 - each is one option
    run: Run = "latest",
    conf: Annotated[
        float | None, typer.Option(envvar="MANYEYES_CONF", help="Least score shown. (default: the run's)")
    ] = None,
    classes: Annotated[
        str | None, typer.Option(envvar="MANYEYES_CLASSES", help="person,car or 0,2. (default: the run's)")
    ] = None,
    max_det: Annotated[
        int | None, typer.Option(envvar="MANYEYES_MAX_DET", min=1, help="Boxes an image, at most. (default: the run's)")
    ] = None,
    format: Annotated[str, typer.Option(envvar="MANYEYES_FORMAT", help="Of coco,csv,jsonl,yolo,voc.")] = "csv",
    to: Annotated[
        Path | None,
        typer.Option(
            parser=typed_path.path,
            envvar="MANYEYES_TO",
            help="A file, or a folder for yolo and voc. (default: in the run's folder)",
        ),
    ] = None,
    truth: Truth = None,
    output: Output = RUNS,
    broker: Known = None,
) -> None:
    """Write a finished run's detections again: another threshold, other classes, another format. No worker needed."""
    again = show.Again(conf, classes, max_det, format, to, truth)
    for path in show.export_again(_find(output, run, broker, "results"), again, console):
        print(path)


@cli.command(rich_help_panel=LOOK_PANEL, epilog="Example:  producer verify latest --deep")
def verify(
    run: Run = "latest",
    deep: Annotated[
        bool, typer.Option("--deep", envvar="MANYEYES_DEEP", help="Read every image's file again and compare it.")
    ] = False,
    output: Output = RUNS,
    broker: Known = None,
    as_json: AsJson = False,
) -> None:
    """Prove that every item of a run is in its tables exactly once; name what differs. Changes nothing."""
    raise typer.Exit(show.show_receipt(_find(output, run, broker, "verify"), deep, console, as_json))


@cli.command(rich_help_panel=LOOK_PANEL, epilog="Example:  producer detectors --broker redis://head:6379/0")
def detectors(broker: Broker = None, as_json: AsJson = False) -> None:
    """List what can be named as --detector: built in, downloadable, and served by live workers."""
    from producer.monitor import detector_list as listing

    found = listing.everything(broker)
    if as_json:
        print(json.dumps(found))
    else:
        show.stdout().print(listing.table(found))


def main() -> None:
    """Every error is one line that says what to do; a traceback only with --debug."""
    standard_streams.settle()
    debug = "--debug" in sys.argv or bool(os.environ.get("MANYEYES_DEBUG"))
    code: str | int | None = ExitCode.OK
    try:
        load_dotenv(Path(".env"))
        os_errors.check_working_folder()
        os_errors.allow_files()
        try:
            cli()
        except SystemExit as ended:
            code = ended.code
        standard_streams.flush()
    except standard_streams.ReaderGone:
        pass
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
    except Exception as error:
        from producer.cluster.hub import here

        line = here.line_of(error)
        if debug or line is None:
            print(redact(traceback.format_exc()), end="", file=sys.stderr)
            line = line or "this is a defect of manyeyes; please report it with the lines above"
        logs.last_words(line, logs.wanted())
        code = getattr(error, "exit_code", ExitCode.ERROR)
    sys.exit(code)


if __name__ == "__main__":
    main()
