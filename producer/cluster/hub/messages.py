"""A hub in, what its user reads and pastes out."""

from __future__ import annotations

import shlex

from common.user_folders import state_folder
from jobs.detect.models import detector_names
from jobs.detect.models.detector_names import DetectorText
from producer.cluster.acl import Role
from producer.cluster.hub import addresses
from producer.cluster.hub.lifecycle import CARGO, FLOWER, FLOWER_USER, MONITOR, WORKER, Hub
from producer.cluster.hub.settings import DASHBOARD, DEFAULT_DETECTOR
from producer.cluster.hub.state_folder import HubFolder, Part, Status
from producer.cluster.hub.supervisor import FRONT

_NAMES = {CARGO: "cargo server", FRONT: "TLS", WORKER: "workers", FLOWER: "Flower", MONITOR: "monitor"}


def command(folder: HubFolder, verb: str) -> str:
    """As it must be typed for this folder."""
    return f"producer {verb}" + ("" if folder.path == state_folder() else f" --state {shlex.quote(str(folder.path))}")


def join_command(hub: Hub) -> str:
    """With the detectors that are served here; of a file only its name, for it lies elsewhere there."""
    served = hub.settings.detector
    names = ",".join(_elsewhere(one) for one in detector_names.split(served))
    options = "" if served == DEFAULT_DETECTOR else f" --detector {shlex.quote(names)}"
    return f"worker start --join {shlex.quote(hub.settings.url(Role.WORKER))}{options}"


def _elsewhere(text: str) -> str:
    typed = DetectorText.parse(text)
    return typed.path.name if typed.path is not None and typed.name == typed.path.stem else text


def headline(hub: Hub) -> str:
    parts = ", ".join(_NAMES.get(part.name, part.name) for part in hub.status.parts)
    return f"{'runs already' if hub.already else 'running'}: {parts}; state and logs in {hub.folder.path}"


def rows(hub: Hub) -> list[str]:
    """What to do with it, a line each."""
    settings = hub.settings
    shown = [
        ("more workers here" if addresses.is_loopback(settings.host) else "on other machines", join_command(hub)),
        ("to submit here", f"export MANYEYES_BROKER_URL=$({command(hub.folder, 'url')})"),
        ("", f"producer submit photos/ --detector {shlex.quote(detector_names.split(settings.detector)[0])}"),
        ("who is there", "producer workers"),
    ]
    if settings.flower:
        password = settings.passwords[DASHBOARD]
        shown.append(("dashboard", f"{settings.dashboard}  user {FLOWER_USER}, password {password}"))
    if settings.monitor:
        shown.append(("for Prometheus", settings.metrics))
    shown.append(("to stop", command(hub.folder, "down")))
    return [f"{title:<18}  {words}" for title, words in shown]


def cautions(hub: Hub) -> list[str]:
    """What its user should know, a line each."""
    host, found = hub.settings.host, []
    if not hub.as_asked:
        found.append(
            f"note: it keeps the options of its start; for others:  {command(hub.folder, 'down')}, then up again"
        )
    if addresses.is_loopback(host):
        found.append(
            f"note: {host} is for this machine only; for others too:  "
            f"{command(hub.folder, 'down')}; {command(hub.folder, 'up')} --listen 0.0.0.0"
        )
    else:
        if not hub.settings.tls:
            found.append(
                f"warning: it listens on {host} with a password and without encryption; "
                "only on a network that you trust, or with --tls"
            )
        found.append(
            f"note: other machines must reach port {hub.settings.port}, and {hub.settings.cargo_port} "
            "if they don't share the images' disk"
        )
        if hub.settings.monitor:
            found.append(
                f"note: whoever reaches port {hub.settings.monitor_port} reads the metrics, without a password"
            )
    if hub.settings.workers and not hub.settings.roots:
        found.append(
            "note: its workers may read no file of this machine, so images pass through Redis; to let them:  "
            f"{command(hub.folder, 'down')}; {command(hub.folder, 'up')} --root FOLDER"
        )
    found += [
        f"warning: {_NAMES.get(part.name, part.name)} ended ({part.how}) and is started again; "
        f"see {hub.folder.logs / part.name}.log"
        for part in hub.status.parts
        if part.pid is None and part.ended
    ]
    return found


def farewell(before: Status | None, folder: HubFolder) -> str:
    """What was stopped, and how it ended."""
    if before is None:
        return f"nothing runs in {folder.path}"
    return f"stopped: {', '.join(_ended(part) for part in reversed(before.parts))}; kept in {folder.path}"


def _ended(part: Part) -> str:
    name = _NAMES.get(part.name, part.name)
    return name if part.how in ("", "exit code 0") else f"{name} ({part.how})"
