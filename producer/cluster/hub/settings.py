"""What was typed and what was so last time in, a hub's settings out."""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from common.broker.tls import CA_DATA
from common.errors import UsageError
from common.typed_path import expand
from producer.cluster.acl import Role
from producer.cluster.connect import Launch
from producer.cluster.hub import addresses
from producer.cluster.hub.addresses import Listen

#: As of `worker start`.
DEFAULT_DETECTOR = "hog"
#: Whose password is no broker's.
DASHBOARD = "dashboard"


def absolute_roots(text: str) -> str:
    """The same wherever the workers are started; URLs and `*` as they are."""
    parts = (part.strip() for part in text.split(",") if part.strip())
    return ",".join(part if "://" in part or part == "*" else str(Path(expand(part)).absolute()) for part in parts)


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user typed at `up`; None: as last time."""

    listen: Listen | None = None
    detector: str | None = None
    head: str | None = None
    labels: str | None = None
    weights: str | None = None
    concurrency: int | None = None
    roots: str | None = None
    workers: bool | None = None
    flower: bool | None = None
    flower_port: int | None = None
    cargo_port: int | None = None
    monitor: bool | None = None
    monitor_port: int | None = None
    tls: bool | None = None


@dataclass(frozen=True, slots=True)
class HubSettings:
    """What a hub is, from its first `up` on: kept in its folder, with the passwords."""

    #: By role, and the dashboard's own.
    passwords: dict[str, str] = field(
        default_factory=lambda: {name: secrets.token_hex(16) for name in (*Role, DASHBOARD)}
    )
    host: str = addresses.LOOPBACK
    port: int = addresses.DEFAULT_PORT
    #: Of the server through which images' bytes go; 0: the one after the broker's, if it is free.
    cargo_port: int = 0
    workers: bool = True
    detector: str = DEFAULT_DETECTOR
    head: str | None = None
    labels: str | None = None
    weights: str | None = None
    concurrency: int = 0
    #: What local workers may read, separated by commas.
    roots: str = ""
    flower: bool = True
    flower_port: int = addresses.DEFAULT_FLOWER_PORT
    #: Off: metrics have no password.
    monitor: bool = False
    monitor_port: int = addresses.DEFAULT_MONITOR_PORT
    tls: bool = False
    #: With TLS: the authority's certificate, DER in base64, and the loopback's ports behind the front.
    ca: str = ""
    inner_port: int = 0
    inner_cargo_port: int = 0

    @classmethod
    def of(cls, wish: Wish, last: dict[str, Any] | None) -> HubSettings:
        before = cls(**(last or {}))
        typed = asdict(wish)
        typed |= typed.pop("listen") or {}
        if wish.detector is not None and wish.detector != before.detector:
            # Those of another model say nothing about this one.
            before = replace(before, head=None, labels=None, weights=None)
        return replace(before, **{name: value for name, value in typed.items() if value is not None})

    def with_ports(self) -> HubSettings:
        """With ports that are free now. Raises UsageError for a taken one."""
        port = addresses.claim_port(self.host, self.port, "--listen HOST:PORT")
        found = replace(self, port=port, cargo_port=self._cargo_port(port))
        if self.tls:
            inner, inner_cargo = (addresses.free_port(addresses.LOOPBACK, 0) for _ in range(2))
            found = replace(found, inner_port=inner, inner_cargo_port=inner_cargo)
        if self.flower:
            option = "--flower-port N, or --no-flower"
            found = replace(found, flower_port=addresses.claim_port(self.host, self.flower_port, option))
        if self.monitor:
            option = "--monitor-port N, or --no-monitor"
            found = replace(found, monitor_port=addresses.claim_port(self.host, self.monitor_port, option))
        return found

    def _cargo_port(self, port: int) -> int:
        if self.cargo_port == port:
            raise UsageError(f"--cargo-port {port} is the broker's own; give another, or none")
        if self.cargo_port:
            return addresses.claim_port(self.host, self.cargo_port, "--cargo-port N")
        return addresses.free_port(self.host, port + 1 if port + 1 != self.flower_port else 0)

    @property
    def inner(self) -> tuple[str, int, int]:
        """Where the two servers themselves listen: host, broker's port, cargo's port."""
        if self.tls:
            return addresses.LOOPBACK, self.inner_port, self.inner_cargo_port
        return self.host, self.port, self.cargo_port

    @property
    def launch(self) -> Launch:
        return Launch(self.detector, self.head, self.labels, self.concurrency, self.weights)

    def local_url(self, role: Role) -> str:
        """For this machine's own processes."""
        return self._url(role, addresses.local_host(self.host))

    def url(self, role: Role) -> str:
        """For everybody. It holds the role's password."""
        return self._url(role, addresses.outside_host(self.host))

    @property
    def dashboard(self) -> str:
        return f"http{'s' * self.tls}://{addresses.in_url(addresses.outside_host(self.host))}:{self.flower_port}"

    @property
    def metrics(self) -> str:
        return f"http://{addresses.in_url(addresses.outside_host(self.host))}:{self.monitor_port}/metrics"

    def _url(self, role: Role, host: str) -> str:
        login = f"{role.user}:{self.passwords[role]}"
        there = f"redis{'s' * self.tls}://{login}@{addresses.in_url(host)}:{self.port}/0"
        return f"{there}?{CA_DATA}={self.ca}" if self.tls else there
