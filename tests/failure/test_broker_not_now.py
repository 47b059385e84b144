"""A broker that answers "not now", for every reason there is: workers and owner wait, say so once, and go on."""

from __future__ import annotations

import contextlib
import math
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis

from chaos import plugin
from common.broker.connect import PREFIX, connect
from common.protocol import heartbeats
from common.protocol.messages import task_queue
from producer.cluster import valkey
from tests.acceptance.commands import BIN, environment, only_run, producer
from tests.acceptance.workers import live
from tests.failure import poison
from tests.waiting import wait_until

#: Whose log it is; of the workers, also the detector's name: one is at work, and nobody sends anything to the other.
OWNER, AT_WORK, WAITING = "owner", "poisonable", "idle"
IMAGES = 5000
#: Junk that a server reads, this slowly (microseconds each), before it does its work again.
JUNK, LOAD_US = 1500, 1000


@dataclass
class Server:
    """A Valkey on TCP, and the file with its URL, by which everything reaches it."""

    folder: Path
    port: int
    password: str = "sesame-1"
    process: subprocess.Popen[bytes] | None = None

    @property
    def file(self) -> Path:
        return self.folder / "broker.url"

    @property
    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, password=self.password, socket_timeout=15)

    def write_url(self) -> None:
        self.file.write_text(f"redis://:{self.password}@127.0.0.1:{self.port}/1\n")

    def start(self, *lines: str) -> None:
        allowed = ["enable-protected-configs yes", "enable-debug-command yes", "busy-reply-threshold 100", *lines]
        configuration = valkey.durable("127.0.0.1", self.port, [f"requirepass {self.password}"], self.folder)
        said = configuration + "\n".join([*allowed, ""]).encode()
        self.process = valkey.spawn(valkey.server_path(), said, self.folder / "broker.log")

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


@dataclass
class Cluster:
    """A broker, a worker at work on a run, and one of plain Celery that waits for work."""

    server: Server
    made: poison.Poisoned
    environment: dict[str, str]
    workers: dict[str, subprocess.Popen[str]] = field(default_factory=dict)
    run: subprocess.Popen[str] | None = None

    def log(self, who: str) -> str:
        return (self.server.folder / f"{who}.log").read_text()

    def stored(self) -> int:
        return sum(path.stat().st_size for path in self.server.folder.glob("runs/*/journal.bin"))

    def goes_on(self, times: int = 3) -> None:
        for _ in range(times):
            before = self.stored()
            wait_until(lambda before=before: self.stored() > before, timeout=30, what="a further result")  # type: ignore[misc]

    def settled(self) -> bool:
        said = self.log(WAITING)
        return said.rfind("the worker: waits") <= said.rfind("the worker: the broker is back")

    def check(self) -> None:
        for name, worker in self.workers.items():
            assert worker.poll() is None, self.log(name)[-2000:]
        assert self.run is not None and self.run.poll() is None, self.log("owner")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("not-now")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        server = Server(folder, probe.getsockname()[1])
    server.write_url()
    server.start()
    made = poison.make(folder, IMAGES, [], pace_s=0.02)
    shutil.rmtree(folder / "plugin")
    extra = plugin.install(folder / "plugin", folder / "pace", (AT_WORK, WAITING))
    found = Cluster(server, made, {**extra, "MANYEYES_BROKER_URL": server.file.name, "MANYEYES_ROOTS": "*"})
    commands = {
        AT_WORK: ["worker", "start", "-c", "2"],
        WAITING: ["celery", "-A", "worker.app", "worker", "-c", "1", "-n", "idle@here", "--without-mingle"],
    }
    try:
        wait_until(lambda: valkey.answers(("127.0.0.1", server.port), server.password), what="the server")
        for name, command in commands.items():
            found.workers[name] = _start(found, name, [*command], MANYEYES_DETECTOR=name)
        with connect(str(server.file)) as client:
            wait_until(lambda: live(client) == 3, what="the workers' heartbeats")
        found.run = _start(
            found, OWNER, ["producer", "submit", "photos", "--detector", AT_WORK, "--shard-size", "10", "--json"]
        )
        wait_until(found.stored, what="the run's first result")
        yield found
    finally:
        for process in [found.run, *found.workers.values()]:
            if process is not None:
                process.kill() if process is found.run else process.terminate()
                process.wait(60)
        server.kill()


def _start(cluster: Cluster, name: str, command: list[str], **extra: str) -> subprocess.Popen[str]:
    folder = cluster.server.folder
    with (folder / f"{name}.log").open("w") as words, (folder / f"{name}.out").open("w") as answer:
        return subprocess.Popen(
            [BIN / command[0], *command[1:]],
            cwd=folder,
            env=environment(**cluster.environment, **extra),
            stdin=subprocess.DEVNULL,
            stdout=answer,
            stderr=words,
            text=True,
        )


@contextmanager
def a_replica_of_nobody(server: Server) -> Iterator[None]:
    server.client.replicaof("127.0.0.1", 1)
    yield
    server.client.replicaof("NO", "ONE")


@contextmanager
def a_replica_that_wants_its_master(server: Server) -> Iterator[None]:
    server.client.config_set("replica-serve-stale-data", "no")
    with a_replica_of_nobody(server):
        yield


@contextmanager
def too_few_replicas(server: Server) -> Iterator[None]:
    server.client.config_set("min-replicas-to-write", 1)
    yield
    server.client.config_set("min-replicas-to-write", 0)


@contextmanager
def full(server: Server) -> Iterator[None]:
    server.client.config_set("maxmemory", 1)
    yield
    server.client.config_set("maxmemory", 0)


@contextmanager
def a_script_without_end(server: Server) -> Iterator[None]:
    def spin() -> None:
        with contextlib.suppress(redis.RedisError):
            server.client.eval("while true do end", 0)

    spinning = threading.Thread(target=spin)
    spinning.start()
    yield
    server.client.script_kill()
    spinning.join()


@contextmanager
def a_disk_that_fails(server: Server) -> Iterator[None]:
    client, gone = server.client, server.folder / "gone"
    gone.mkdir()
    client.config_set("save", "3600 1000000")
    client.config_set("dir", str(gone))
    gone.rmdir()
    client.bgsave()
    yield
    client.config_set("save", "")
    client.config_set("dir", str(server.folder))


@contextmanager
def no_room_for_clients(server: Server) -> Iterator[None]:
    client = server.client
    client.config_set("maxclients", 1)
    client.client_kill_filter(_type="normal", skipme=True)
    yield
    client.config_set("maxclients", 1000)


@contextmanager
def loading(server: Server) -> Iterator[None]:
    with server.client.pipeline(transaction=False) as pipe:
        for number in range(JUNK):
            pipe.set(f"junk:{number}", b"")
        pipe.execute()
    server.kill()
    server.start(f"key-load-delay {LOAD_US}", "loading-process-events-interval-bytes 1024")
    yield
    wait_until(lambda: valkey.answers(("127.0.0.1", server.port), server.password), what="its data, loaded")
    server.client.delete(*(f"junk:{number}" for number in range(JUNK)))


@contextmanager
def another_password(server: Server) -> Iterator[None]:
    client = server.client
    client.config_set("requirepass", "sesame-2")
    client.config_resetstat()
    client.client_kill_filter(_type="normal", skipme=True)
    changed = time.monotonic()
    yield
    wait_until(lambda: time.monotonic() - changed > 3, what="time for further logins")
    # Servers count wrong logins. The owner is one; each of 3 processes and 2 workers has a
    # heartbeat; 2 processes have a commit, and both workers a consumer.
    denied = int(client.info("stats")["acl_access_denied_auth"])  # type: ignore[index]
    assert denied <= 10 * (1 + math.log2(1 + time.monotonic() - changed)), denied
    server.password = "sesame-2"
    server.write_url()


#: What is done to the server, a word of what is said of it, and who is sure to say so: a server that runs a
#: script, or loads, answers so seldom that not everybody hears of it.
FAULTS: list[tuple[Callable[[Server], AbstractContextManager[None]], str, tuple[str, ...]]] = [
    (a_replica_of_nobody, "a read-only replica", (OWNER, AT_WORK)),
    (a_replica_that_wants_its_master, "replica", (OWNER, AT_WORK, WAITING)),
    (too_few_replicas, "NOREPLICAS", (OWNER, AT_WORK, WAITING)),
    (full, "OOM", (OWNER, AT_WORK)),
    (a_script_without_end, "BUSY", (AT_WORK,)),
    (a_disk_that_fails, "MISCONF", (OWNER, AT_WORK, WAITING)),
    (no_room_for_clients, "max number of clients", (OWNER, AT_WORK)),
    (loading, "for the broker", (AT_WORK, WAITING)),
    (another_password, "wants another password", (OWNER, AT_WORK, WAITING)),
]


@pytest.mark.parametrize("fault, word, whose", FAULTS, ids=[fault.__name__ for fault, *_ in FAULTS])
def test_it_is_waited_out(cluster: Cluster, fault: Any, word: str, whose: tuple[str, ...]) -> None:
    cluster.goes_on()
    wait_until(cluster.settled, what="the end of what was before")
    said = {who: len(cluster.log(who)) for who in (OWNER, AT_WORK, WAITING)}

    def new(who: str) -> str:
        return cluster.log(who)[said[who] :]

    with fault(cluster.server):
        for who in whose:
            wait_until(lambda who=who: word in new(who), timeout=30, what=f"a word of {who}")  # type: ignore[misc]
        if WAITING in whose:
            # It asks for messages all the time, whatever its heartbeats have said before.
            wait_until(lambda: "the worker: waits" in new(WAITING), timeout=10, what="a word of the idle consumer")
        cluster.check()
    ended = time.monotonic()
    cluster.goes_on()
    assert time.monotonic() - ended < 10
    for who, words in ((OWNER, "does its work again"), (WAITING, "the worker: the broker is back")):
        if who in whose:
            wait_until(lambda who=who, words=words: words in new(who), timeout=30, what=f"{who}: {words}")  # type: ignore[misc]
    cluster.check()
    assert new(OWNER).count(word) <= 1, "once is enough"
    for who in said:
        assert "Traceback" not in new(who) and "CRITICAL" not in new(who) and "sesame" not in new(who), new(who)


def test_the_run_is_whole_in_the_end(cluster: Cluster) -> None:
    assert cluster.run is not None
    cluster.made.pace(0)
    assert cluster.run.wait(120) == 0, cluster.log("owner")
    folder = cluster.server.folder
    run = only_run(folder)
    assert producer("verify", run.name, cwd=folder, **cluster.environment).code == 0
    for detector in (AT_WORK, WAITING):
        again = producer(
            *("submit", "photos", "--limit", 50, "--detector", detector, "--output", "again", "--json"),
            cwd=folder,
            **cluster.environment,
        )
        assert again.code == 0 and again.json["ok"] == 50, again.err


def test_what_will_never_be_done_ends_a_worker_with_one_line(cluster: Cluster) -> None:
    said = {name: len(cluster.log(name)) for name in cluster.workers}
    with connect(str(cluster.server.file)) as client:
        for info in heartbeats.live_detectors(client, heartbeats.live_processes(client)).values():
            client.set(f"{PREFIX}{task_queue(info.queue)}", "no list")
    for name, worker in cluster.workers.items():
        assert wait_until(lambda worker=worker: worker.poll(), timeout=30, what=f"the end of {name}") == 1  # type: ignore[misc]
        words = cluster.log(name)[said[name] :]
        assert words.count("error: ") == 1 and "WRONGTYPE" in words, words
        assert "Traceback" not in words and "CRITICAL" not in words, words
