"""What can be named as --detector in, a list and a table out: built in, downloadable, installed, served."""

from __future__ import annotations

from typing import Any

import redis
from rich.table import Table

from common.broker.asking import ask
from common.protocol import heartbeats
from common.protocol.detector_info import DetectorInfo
from common.protocol.heartbeats import Beat
from jobs.detect.models import model_zoo

#: Families that load a file, as the user names them.
_BY_FILE = {"onnx": "FILE.onnx", "darknet": "FILE.cfg"}


def everything(broker_url: str | None) -> list[dict[str, Any]]:
    """One object a detector: name, where it is from, and what there is to say of it. No engine is loaded."""
    found: list[dict[str, Any]] = [
        {
            "name": _BY_FILE.get(name, name),
            "from": "installed",
            "about": model_zoo.BUILT_IN.get(name, "from another package"),
        }
        for name in model_zoo.families()
    ]
    found += [
        {"name": model.name, "from": "download", "about": f"{model.description}; {model.bytes / 1e6:.0f} MB"}
        for model in model_zoo.MODELS
    ]
    if broker_url is not None:
        live, served = ask(broker_url, _served)
        for queue, info in served.items():
            serving = [beat for beat in live if queue in beat.queues]
            workers = len({beat.worker for beat in serving})
            about = (
                f"{info.family}, {len(info.labels)} classes, {info.ms_per_image:.0f} ms an image; "
                f"{len(serving)} processes of {workers} worker{'s' * (workers != 1)}"
            )
            if info.caution:
                about += f". {info.caution}"
            found.append({"name": queue, "from": "served", "about": about})
    return found


def _served(client: redis.Redis) -> tuple[list[Beat], dict[str, DetectorInfo]]:
    live = heartbeats.live_processes(client)
    return live, heartbeats.live_detectors(client, live)


def table(found: list[dict[str, Any]]) -> Table:
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("name", "from", "about"):
        shown.add_column(column)
    for row in found:
        shown.add_row(row["name"], row["from"], row["about"])
    return shown
