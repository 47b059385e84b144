"""`producer monitor`: an address in, metrics for Prometheus out."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

from common import logs
from common.errors import UsageError
from producer.cli.options import CLUSTER_PANEL
from producer.cluster.hub.addresses import DEFAULT_MONITOR_PORT, LOOPBACK

commands = typer.Typer()
log = logging.getLogger("producer")

EXAMPLES = "\n\n".join(
    (
        "Examples:",
        "producer monitor --broker redis://head:6379/0",
        "producer monitor --listen 0.0.0.0:9808",
        "curl http://127.0.0.1:9808/metrics",
    )
)


@commands.command(rich_help_panel=CLUSTER_PANEL, epilog=EXAMPLES)
def monitor(
    listen: Annotated[
        str,
        typer.Option(
            envvar="MANYEYES_MONITOR_LISTEN",
            metavar="HOST[:PORT]",
            help="Where to serve /metrics and /healthz; 0.0.0.0: on every address.",
        ),
    ] = f"{LOOPBACK}:{DEFAULT_MONITOR_PORT}",
    broker: Annotated[
        str | None,
        typer.Option(envvar=["MANYEYES_BROKER_URL", "CELERY_BROKER_URL"], help="redis://HOST:6379/0"),
    ] = None,
    scaled: Annotated[
        str,
        typer.Option(
            "--scaled",
            envvar="MANYEYES_MONITOR_SCALED",
            metavar="DETECTOR,...",
            help="Detectors that something scales: manyeyes_images_remaining is there for them, as 0, also at rest.",
        ),
    ] = "",
) -> None:
    """Serve Prometheus metrics of a broker's runs and workers.

    It reads Redis at each scrape, and writes nothing: the broker's user `manyeyes-monitor` is enough.
    """
    from common.broker.connect import refuse_wrong
    from jobs.detect.models.detector_names import DetectorText, split
    from producer.cluster.hub import addresses
    from producer.monitor.server import Monitor, Server

    if broker is None:
        raise UsageError(
            "no broker: set MANYEYES_BROKER_URL, or pass --broker; for a hub of this machine: $(producer url)"
        )
    logs.setup(logs.wanted(), logging.WARNING)
    log.setLevel(logging.INFO)
    refuse_wrong(broker)
    wish = addresses.Listen.parse(listen)
    host, port = wish.host or LOOPBACK, DEFAULT_MONITOR_PORT if wish.port is None else wish.port
    names = [DetectorText.parse(text).name for text in split(scaled)]
    server = Server(host, addresses.claim_port(host, port, "--listen HOST:PORT"), Monitor(broker, names))
    log.info("metrics at %s", server.url)
    if not addresses.is_loopback(host):
        log.info("note: they have no password; only on a network that you trust")
    server.serve()
