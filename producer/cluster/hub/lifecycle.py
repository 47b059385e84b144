"""A hub's folder and a wish in, a running hub out; and the other way round."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import redis

from common import logs, os_errors
from common.broker.asking import ask
from common.broker.connect import client
from common.errors import ManyeyesError, UsageError
from common.protocol import heartbeats
from common.protocol.relay import PORT_KEY
from producer.cluster import acl, valkey
from producer.cluster.acl import Role
from producer.cluster.hub import addresses
from producer.cluster.hub.certificates import Certificates
from producer.cluster.hub.settings import DASHBOARD, HubSettings, Wish
from producer.cluster.hub.state_folder import HubFolder, HubState, Status
from producer.cluster.hub.supervisor import BROKER, FRONT, PartPlan, Plan
from producer.cluster.hub.tls_proxy import FrontPlan, Gate
from producer.cluster.log_tail import Log
from producer.cluster.process_group import isolated

CARGO, WORKER, FLOWER, MONITOR = "cargo", "worker", "flower", "monitor"
_PARTS = (BROKER, CARGO, FRONT, WORKER, FLOWER, MONITOR)
#: The user name at the dashboard.
FLOWER_USER = "manyeyes"
#: Seconds. A big model, or its download, on a busy machine; a broker that loads a large file.
_START_S = 300.0
#: Seconds. More than the keeper gives its parts, one after the other.
_STOP_S = 90.0
#: Seconds between looks.
_LOOK_S = 0.02


@dataclass(frozen=True, slots=True)
class Hub:
    """A hub that runs."""

    folder: HubFolder
    settings: HubSettings
    status: Status
    #: It ran before it was asked for, and whether as it was asked for now.
    already: bool = False
    as_asked: bool = True


def up(folder: HubFolder, wish: Wish, say: Callable[[str], None]) -> Hub:
    """Return when broker, dashboard and workers are there. A hub that runs is left as it is.

    Raises UsageError or ManyeyesError with the words of what did not come up; then nothing is left running.
    """
    folder.prepare()
    with folder.exclusive():
        if folder.running() and (status := folder.status()) and status.state != HubState.ENDING:
            settings = running_settings(folder)
            ask(settings.local_url(Role.PRODUCER), lambda broker: broker.set(PORT_KEY, settings.cargo_port))
            return Hub(folder, settings, status, True, HubSettings.of(wish, folder.read()) == settings)
        _await_end(folder)
        before = folder.read()
        settings = HubSettings.of(wish, before).with_ports()
        if settings.tls:
            ca = Certificates(folder.tls).prepare(addresses.outside_host(settings.host))
            settings = replace(settings, ca=ca)
        folder.write(asdict(settings))
        say(f"starting in {folder.path}")
        said = {name: Log.from_here(folder.logs / f"{name}.log") for name in ("keeper", *_PARTS)}
        folder.forget_status()
        keeper = _start_keeper(folder, settings)
        try:
            status = _await_ready(folder, settings, keeper, said)
        except BaseException:
            keeper.terminate()
            keeper.wait()
            # What failed is not what the next `up` should try again.
            folder.write(before)
            raise
        return Hub(folder, settings, status)


def running_settings(folder: HubFolder) -> HubSettings:
    """Raises ManyeyesError where no hub runs."""
    data = folder.read()
    if data is None or not folder.running():
        raise ManyeyesError(
            f"no hub runs in {folder.path}; start one:  producer up --state {shlex.quote(str(folder.path))}"
        )
    if "passwords" not in data:
        raise ManyeyesError(
            f"the hub in {folder.path} runs as an earlier version started it: `down`, then `up`, renew it"
        )
    return HubSettings(**data)


def down(folder: HubFolder, say: Callable[[str], None]) -> Status | None:
    """Stop a hub in good order; the keeper's account of it. None where none runs."""
    if not folder.running():
        return None
    with folder.exclusive():
        if not folder.running():
            return None
        say("stopping; workers hand their shards back")
        folder.tell_to_end()
        _await_end(folder)
        return folder.status()


def _await_end(folder: HubFolder) -> None:
    deadline = time.monotonic() + _STOP_S
    while folder.running():
        if time.monotonic() > deadline:
            status = folder.status()
            who = f"process {status.keeper}" if status else "its keeper"
            raise ManyeyesError(f"the hub in {folder.path} does not end; `kill -9` {who}, and all of it is gone")
        time.sleep(_LOOK_S)


def _start_keeper(folder: HubFolder, settings: HubSettings) -> subprocess.Popen[bytes]:
    with (folder.logs / "keeper.log").open("ab") as log:
        keeper = subprocess.Popen(
            isolated("producer.cluster.hub.supervisor"),
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            cwd=folder.path,
            # It stays when the terminal goes.
            start_new_session=True,
        )
    assert keeper.stdin is not None
    with keeper.stdin as stdin:
        stdin.write(plan(folder, settings).to_line())
    return keeper


def plan(folder: HubFolder, settings: HubSettings) -> Plan:
    """Passwords travel in the environment and through pipes: `ps` shows arguments."""
    python = sys.executable
    users = acl.lines(settings.passwords)
    host, port, cargo_port = settings.inner
    durable = valkey.durable(host, port, users, folder.data)
    # In the broker's file would be every image that was ever shipped.
    volatile = valkey.volatile(host, cargo_port, users, folder.data)
    parts = [
        PartPlan(BROKER, (), {}, patience_s=30.0, configuration=durable.decode()),
        PartPlan(CARGO, (), {}, patience_s=5.0, configuration=volatile.decode()),
    ]
    if settings.tls:
        parts.append(_front(settings, Certificates(folder.tls)))
    if settings.workers:
        command = (python, "-m", "worker.cli", "start", *settings.launch.worker_options())
        of_worker = {
            "MANYEYES_BROKER_URL": settings.local_url(Role.WORKER),
            "MANYEYES_ROOTS": settings.roots,
            **logs.for_file(),
        }
        parts.append(PartPlan(WORKER, command, of_worker, patience_s=30.0))
    if settings.flower:
        of_flower = {
            "MANYEYES_BROKER_URL": settings.local_url(Role.MONITOR),
            "FLOWER_ADDRESS": settings.host,
            "FLOWER_PORT": str(settings.flower_port),
            "FLOWER_BASIC_AUTH": f"{FLOWER_USER}:{settings.passwords[DASHBOARD]}",
            "FLOWER_DB": str(folder.flower / "tasks"),
        }
        if settings.tls:
            certificates = Certificates(folder.tls)
            of_flower |= {
                "FLOWER_CERTFILE": str(certificates.certificate),
                "FLOWER_KEYFILE": str(certificates.key),
            }
        command = (python, "-m", "celery", "-A", "worker.app", "flower")
        parts.append(PartPlan(FLOWER, command, of_flower, patience_s=5.0))
    if settings.monitor:
        listen = f"{addresses.in_url(settings.host)}:{settings.monitor_port}"
        command = (python, "-m", "producer.cli.app", "monitor", "--listen", listen)
        of_monitor = {"MANYEYES_BROKER_URL": settings.local_url(Role.MONITOR), **logs.for_file()}
        parts.append(PartPlan(MONITOR, command, of_monitor, patience_s=5.0))
    return Plan(
        folder=str(folder.path),
        server=str(valkey.server_path()),
        host=addresses.local_host(host),
        port=port,
        user=Role.MONITOR.user,
        password=settings.passwords[Role.MONITOR],
        parts=tuple(parts),
    )


def _front(settings: HubSettings, certificates: Certificates) -> PartPlan:
    ports = ((settings.port, settings.inner_port), (settings.cargo_port, settings.inner_cargo_port))
    gates = tuple(Gate(settings.host, port, inner) for port, inner in ports)
    front = FrontPlan(str(certificates.certificate), str(certificates.key), gates)
    return PartPlan(FRONT, tuple(isolated("producer.cluster.hub.tls_proxy", front.to_text())), {}, patience_s=5.0)


def _await_ready(
    folder: HubFolder, settings: HubSettings, keeper: subprocess.Popen[bytes], said: dict[str, Log]
) -> Status:
    deadline = time.monotonic() + _START_S
    broker = client(settings.local_url(Role.PRODUCER))
    while True:
        if keeper.poll() is not None:
            raise ManyeyesError(f"the hub's keeper has ended: {_words(said['keeper'])}")
        status = folder.status()
        for part in status.parts if status else ():
            if part.ended:
                kind = UsageError if part.how == "exit code 2" else ManyeyesError
                raise kind(f"{part.name}: {_words(said[part.name])} ({part.how})")
        if status and _all_there(status, settings, broker):
            broker.set(PORT_KEY, settings.cargo_port)
            broker.close()
            return status
        if time.monotonic() > deadline:
            raise ManyeyesError(f"the hub did not come up within {_START_S:g} s; its logs are in {folder.logs}")
        time.sleep(_LOOK_S)


def _all_there(status: Status, settings: HubSettings, broker: redis.Redis) -> bool:
    if not all(part.ready for part in status.parts):
        return False
    host = addresses.local_host(settings.host)
    ports = [settings.port, settings.cargo_port]
    ports += [settings.flower_port] * settings.flower + [settings.monitor_port] * settings.monitor
    if not all(addresses.listens(host, port) for port in ports):
        return False
    worker = status.part(WORKER)
    if worker is None:
        return True
    here = [
        beat for beat in heartbeats.live_workers(broker) if (beat.host, beat.pid) == (os.uname().nodename, worker.pid)
    ]
    return any(beat.alive >= beat.processes for beat in here)


def _words(log: Log) -> str:
    """Why it ended, in its own words, or where they are."""
    return (
        log.last_error()
        or os_errors.no_room(log.path)
        or f"its log {log.path} ends with: {log.last_line() or 'nothing'}"
    )
