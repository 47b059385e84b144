"""A broker's URL that does not answer in; what there is to say where it is a hub of this machine, out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from common import errors
from common.errors import BrokerError, UsageError
from common.redaction import redact
from common.user_folders import state_folder
from producer.cluster.hub import addresses, messages
from producer.cluster.hub.settings import HubSettings
from producer.cluster.hub.state_folder import HubFolder
from producer.cluster.hub.supervisor import BROKER


@dataclass(frozen=True, slots=True)
class Remark:
    """What ails it, to follow the broker's name, and what to do."""

    words: str
    remedy: str


def whose(url: str) -> HubFolder | None:
    """The hub of this machine, and of a folder known here, whose broker the URL names."""
    parts = urlsplit(url)
    for folder in folders():
        try:
            data = folder.read()
            settings = None if data is None else HubSettings(**data)
        except (OSError, UsageError, TypeError):
            continue  # not this user's, or of another version
        if settings and parts.port == settings.port and _is_ours(parts.hostname or "", settings):
            return folder
    return None


def remark(url: str) -> Remark | None:
    """None where it is no hub of this machine, or where something listens there: then its own words count."""
    try:
        folder = whose(url)
        parts = urlsplit(url)
        if folder is None or addresses.listens(parts.hostname or "", parts.port or 0):
            return None
        up, status = messages.command(folder, "up"), folder.status()
        if not folder.running():
            return Remark(f"is this machine's hub, kept in {folder.path}, which does not run", f"start it again:  {up}")
        broker = status and status.part(BROKER)
        how = f"has ended ({broker.how}) and is started again" if broker and broker.how else "does not listen"
        return Remark(f"is this machine's hub, whose broker {how}", f"see {folder.logs / BROKER}.log")
    except (OSError, ValueError):
        return None


def line_of(error: Exception) -> str | None:
    """As `errors.line_of`; what it says of a hub of this machine is that this one does not run."""
    if isinstance(error, BrokerError) and error.url is not None and (said := remark(error.url)):
        return f"broker {redact(error.url)} {said.words}; {said.remedy}"
    return errors.line_of(error)


def folders() -> Iterator[HubFolder]:
    """Where this user's hubs are kept, as far as the environment says."""
    named = os.environ.get("MANYEYES_STATE")
    for path in (Path(named).absolute() if named else None, state_folder()):
        if path is not None:
            yield HubFolder(path)


def _is_ours(host: str, settings: HubSettings) -> bool:
    return addresses.is_loopback(host) or host == settings.host or host in addresses.of_machine()
