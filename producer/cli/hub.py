"""`producer up | down | url | acl | workers`: options in, one call, lines for people or one JSON object out."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from common import typed_path
from common.errors import UsageError
from producer.cli.options import CLUSTER_PANEL, Labels, Weights
from producer.cluster.acl import Role
from producer.cluster.hub.state_folder import HubFolder

commands = typer.Typer()
console = Console(stderr=True)

State = Annotated[
    Path | None,
    typer.Option(
        parser=typed_path.path,
        envvar="MANYEYES_STATE",
        metavar="FOLDER",
        help="Where the hub keeps its file, password and logs. (default: the user's state folder)",
    ),
]
UP_EXAMPLES = "\n\n".join(
    (
        "Examples:",
        "producer up",
        "producer up --listen 0.0.0.0 --tls --detector best.onnx",
        "producer up --root /data     (what the workers here may read)",
        "producer up --listen 192.168.1.5:7000 --no-workers --no-flower",
    )
)


@commands.command(rich_help_panel=CLUSTER_PANEL, epilog=UP_EXAMPLES)
def up(  # noqa: PLR0913, PLR0917 - each is one option
    listen: Annotated[
        str | None,
        typer.Option(
            envvar="MANYEYES_LISTEN",
            metavar="HOST[:PORT]",
            help="Where the broker listens; 0.0.0.0: on every address. (default: 127.0.0.1:6389)",
        ),
    ] = None,
    state: State = None,
    detector: Annotated[
        str | None,
        typer.Option(
            envvar="MANYEYES_DETECTOR",
            help="What local workers serve: NAME, PATH or NAME=PATH, several separated by commas. (default: hog)",
        ),
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(
            *("--concurrency", "-c"),
            envvar="MANYEYES_CONCURRENCY",
            min=0,
            max=1024,
            help="Local processes; 0: one a core. (default: 0)",
        ),
    ] = None,
    head: Annotated[
        str | None, typer.Option(envvar="MANYEYES_HEAD", help="How an ONNX model's outputs are read.")
    ] = None,
    labels: Labels = None,
    weights: Weights = None,
    root: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FOLDER|URL",
            help="What local workers may read, as of `worker start`; several, or separated by commas; '': no file. "
            "(default: no file; env var: MANYEYES_ROOTS)",
        ),
    ] = None,
    workers: Annotated[
        bool | None, typer.Option("--workers/--no-workers", envvar="MANYEYES_WORKERS", help="Work on this machine too.")
    ] = None,
    flower: Annotated[
        bool | None, typer.Option("--flower/--no-flower", envvar="MANYEYES_FLOWER", help="The dashboard.")
    ] = None,
    flower_port: Annotated[
        int | None,
        typer.Option(envvar="MANYEYES_FLOWER_PORT", min=0, max=65535, help="The dashboard's port. (default: 5555)"),
    ] = None,
    cargo_port: Annotated[
        int | None,
        typer.Option(
            envvar="MANYEYES_CARGO_PORT",
            min=0,
            max=65535,
            help="Where images' bytes pass for workers without the disk. (default: the one after the broker's)",
        ),
    ] = None,
    monitor: Annotated[
        bool | None,
        typer.Option("--monitor/--no-monitor", envvar="MANYEYES_MONITOR", help="Metrics for Prometheus. (default: no)"),
    ] = None,
    monitor_port: Annotated[
        int | None,
        typer.Option(envvar="MANYEYES_MONITOR_PORT", min=0, max=65535, help="Their port. (default: 9808)"),
    ] = None,
    tls: Annotated[
        bool | None,
        typer.Option(
            "--tls/--no-tls", envvar="MANYEYES_TLS", help="Encrypt all, with a CA of the hub's own. (default: no)"
        ),
    ] = None,
) -> None:
    """Start a cluster's hub on this machine: broker, dashboard and workers, in the background, kept alive.

    What is not given is as it was last time. Where it runs already, it is left as it is and its lines are shown again.
    """
    from producer.cluster.hub import lifecycle, messages
    from producer.cluster.hub.addresses import Listen
    from producer.cluster.hub.settings import Wish, absolute_roots
    from producer.run.plan import absolute_detectors, absolute_file

    given = ",".join(root) if root else os.environ.get("MANYEYES_ROOTS")
    wish = Wish(
        listen=Listen.parse(listen) if listen is not None else None,
        detector=absolute_detectors(detector) if detector else None,
        head=head,
        labels=str(labels.absolute()) if labels else None,
        weights=absolute_file(weights),
        concurrency=concurrency,
        roots=None if given is None else absolute_roots(given),
        workers=workers,
        flower=flower,
        flower_port=flower_port,
        cargo_port=cargo_port,
        monitor=monitor,
        monitor_port=monitor_port,
        tls=tls,
    )
    hub = lifecycle.up(_folder(state), wish, _say)
    for line in (messages.headline(hub), *messages.cautions(hub)):
        _say(line)
    print("\n".join(messages.rows(hub)))


@commands.command(rich_help_panel=CLUSTER_PANEL, epilog="Example:  producer down")
def down(state: State = None) -> None:
    """Stop the hub of this machine: workers hand their shards back, the broker saves and ends last."""
    from producer.cluster.hub import lifecycle, messages

    folder = _folder(state)
    print(messages.farewell(lifecycle.down(folder, _say), folder))


URL_EXAMPLES = "\n\n".join(
    ("Examples:", "export MANYEYES_BROKER_URL=$(producer url)", "producer url worker > hub.url     (for --join)")
)


@commands.command(rich_help_panel=CLUSTER_PANEL, epilog=URL_EXAMPLES)
def url(
    role: Annotated[Role, typer.Argument(help="Whose: each has a user and a password of its own.")] = Role.PRODUCER,
    state: State = None,
) -> None:
    """Print the running hub's broker URL, password included: for MANYEYES_BROKER_URL, or a file for --join."""
    from producer.cluster.hub.lifecycle import running_settings

    print(running_settings(_folder(state)).url(role))


@commands.command(rich_help_panel=CLUSTER_PANEL, epilog="Example:  producer workers --json")
def workers(
    broker: Annotated[
        str | None,
        typer.Option(envvar=["MANYEYES_BROKER_URL", "CELERY_BROKER_URL"], help="redis://HOST:6379/0"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", envvar="MANYEYES_JSON", help="One JSON list on stdout.")] = False,
) -> None:
    """List who is there: what each worker serves, its speed, what it works on, and since when."""
    from common.broker.asking import ask
    from common.redaction import redact
    from producer.cli import output
    from producer.monitor import workers as listing

    if broker is None:
        raise UsageError(
            "no broker: set MANYEYES_BROKER_URL, or pass --broker; for a hub of this machine: $(producer url)"
        )
    found = ask(broker, listing.found)
    if as_json:
        print(json.dumps([line.to_json() for line in found]))
    elif found:
        output.stdout().print(listing.table(found))
    else:
        _say(f"no worker is on {redact(broker)}; start one:  MANYEYES_BROKER_URL={redact(broker)} worker start")


ACL_EXAMPLES = "\n\n".join(
    (
        "Examples:",
        "producer acl > users.acl     (then, in redis.conf:  aclfile /etc/redis/users.acl)",
        "producer acl | grep manyeyes- | sed 's/^user/ACL SETUSER/' | redis-cli     (a server that runs)",
        "producer acl > users.acl 2> passwords.env     (what was made up, as lines of a .env file)",
    )
)


@commands.command(rich_help_panel=CLUSTER_PANEL, epilog=ACL_EXAMPLES)
def acl(
    database: Annotated[
        int,
        typer.Option(
            "--db", envvar="MANYEYES_ACL_DB", min=0, help="The number at the end of the broker's URL: events name it."
        ),
    ] = 0,
) -> None:
    """Print an ACL file for a Redis (from 7.0) or Valkey of your own: users for producers, workers and monitors.

    Passwords are those of MANYEYES_ACL_PRODUCER_PASSWORD, ..._WORKER_PASSWORD and ..._MONITOR_PASSWORD; one that is not
    there is made up, and shown on stderr. The lines hold only their hashes. The first switches off who has no name.
    """
    from producer.cluster.acl import lines

    passwords: dict[str, str] = {}
    for role in Role:
        name = f"MANYEYES_ACL_{role.upper()}_PASSWORD"
        given = os.environ.get(name)
        if given == "":
            raise UsageError(f"{name} is empty; give it a password, or unset it to have one made up")
        if given is None:
            given = secrets.token_hex(16)
            _say(f"{name}={given}")
        passwords[role] = given
    print("\n".join(lines(passwords, database)))


def note_of_idle_hub() -> None:
    """For a run that is about to begin beside it."""
    from common.user_folders import state_folder

    folder = state_folder()
    try:
        runs = folder is not None and HubFolder(folder).running()
    except OSError:
        return  # HOME may be another user's: whatever runs there is not this one's hub
    if runs:
        _say("note: this run is local; to use the hub that runs here:  export MANYEYES_BROKER_URL=$(producer url)")


def _folder(state: Path | None) -> HubFolder:
    from common.user_folders import homeless, state_folder

    folder = state or state_folder()
    if folder is None:
        raise UsageError(homeless("a hub's state", "name one: --state FOLDER"))
    return HubFolder(folder.absolute())


def _say(line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)
