"""Producers, workers and monitors as users of a real server: each may do its work, and nothing of the others'."""

from __future__ import annotations

import hashlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from kombu import Exchange, Queue
from kombu.exceptions import OperationalError
from redis.exceptions import NoPermissionError

from common.broker.connect import PREFIX, celery_app, client
from common.errors import BrokerError
from common.protocol import heartbeats
from common.protocol.detector_info import DetectorInfo
from common.protocol.heartbeats import Beat, WorkerBeat
from common.protocol.ledger import Fate, Ledger, RunState
from common.protocol.messages import ShardId, ShardMessage, queue_keys, task_queue
from common.protocol.relay import PORT_KEY, Cargo, server_of
from producer.cluster import acl, valkey
from producer.cluster.acl import Role
from producer.run.waiting import WAITING_KEY
from producer.scheduler.broker_outage import Unrest
from producer.scheduler.fair_share import Share
from tests.guarded import Guarded, guarded, lasting, password_of, servers
from tests.waiting import wait_until
from worker import startup

RUN, QUEUE = "20260101-000000-abcdefgh", "hog-12345678"
PAIR, LEFT, RIGHT = ShardId(0, 0, 2), ShardId(0, 0, 1), ShardId(0, 1, 1)


@pytest.fixture(scope="module", params=servers(), ids=lambda path: path.name)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with guarded(request.param, tmp_path_factory.mktemp("guarded")) as found:
        yield found


@pytest.fixture
def fresh(server: Guarded) -> Guarded:
    server.admin(server.port).flushall()
    server.admin(server.port).set(PORT_KEY, server.cargo_port)
    server.forget()
    return server


def message(shard: ShardId, attempt: int = 1) -> ShardMessage:
    return ShardMessage(RUN, shard, attempt, "d")


def test_a_run_passes_through_every_script(fresh: Guarded) -> None:
    owner = Ledger(fresh.client(Role.PRODUCER), RUN)
    worker = Ledger(fresh.client(Role.WORKER), RUN)
    assert owner.reserve({"spec": "{}", "spec_digest": "d"})
    token = owner.lease(None)
    assert owner.lease(token) == token and owner.knows_run()
    owner.set_state(RunState.RUNNING)
    assert owner.open(token, PAIR, b"a\0b")
    assert worker.spec_text() == "{}"
    assert worker.claim(message(PAIR), "w/1").status == "ok"
    [slow] = owner.open_shards()
    assert owner.resend(token, slow, "slow") == (2, 1)
    assert worker.report(PAIR, 1, "w/1", Fate.CRASHED, item=0), "the rival's death"
    assert worker.claim(message(PAIR, 2), "w/2").status == "ok"
    assert worker.report(PAIR, 2, "w/2", Fate.CRASHED, item=0)
    assert owner.split(token, PAIR, {LEFT: b"a", RIGHT: b"b"})
    assert not worker.report(PAIR, 2, "w/3", Fate.CRASHED, item=0), "of a shard that is gone: it counts at its part"
    assert owner.look([LEFT])[0].deaths == 2
    for shard in (LEFT, RIGHT):
        assert worker.claim(message(shard), "w/4").status == "ok"
        assert worker.commit(shard, b"result") == "ok"
    assert set(owner.wait_committed(1.0)) == {LEFT, RIGHT}
    assert owner.results([LEFT]) == [b"result"]
    owner.free(token, LEFT)
    assert owner.open(token, PAIR, b"a\0b") and owner.commit(PAIR, b"given up") == "ok"
    owner.close(token, RunState.DONE)
    assert fresh.refused() == []


def test_heartbeats_shares_and_cargo(fresh: Guarded) -> None:
    owner, worker, monitor = (fresh.client(role) for role in Role)
    info = DetectorInfo("hog", "hog", "hog", "0" * 64, ("person",), None, False, True, True, 0.5, 0.5, "bgr")
    now = Beat("w/1", "w", "host", 1, (info.queue,), run=RUN, shard=str(PAIR))
    heartbeats.announce(worker, info)
    heartbeats.beat(worker, now, [info])
    heartbeats.worker_beat(worker, WorkerBeat("w", "host", 1, (info.queue,), 1, 1, time.time()))
    fresh.admin(fresh.port).zadd(heartbeats.PROCESSES_KEY, {"dead/1": 1})
    for reader in (owner, monitor):
        assert [beat.process for beat in heartbeats.live_processes(reader)] == ["w/1"]
        assert [beat.worker for beat in heartbeats.live_workers(reader)] == ["w"]
        assert heartbeats.live_detectors(reader, [now]) == {info.queue: info}
    heartbeats.leave(worker, "w/1")
    heartbeats.worker_leave(worker, "w")
    share = Share(owner, QUEUE, RUN, 1)
    assert share.look(hungry=True) == share.look(hungry=False) == 1.0
    port = owner.get(PORT_KEY)
    assert isinstance(port, bytes)
    loaded, fetched = (Cargo(server_of(one, port.decode()), RUN) for one in (owner, worker))
    loaded.load({0: b"bytes"})
    assert fetched.fetch(0) == b"bytes"
    loaded.keep()
    loaded.unload([0])
    loaded.clear()
    assert fresh.refused() == []


#: What nobody may: of the server's own, or outside our prefix.
NOBODYS = (
    ("FLUSHALL",),
    ("FLUSHDB",),
    ("CONFIG", "GET", "*"),
    ("CONFIG", "SET", "maxmemory", "1"),
    ("KEYS", "*"),
    ("ACL", "LIST"),
    ("ACL", "SETUSER", "me"),
    ("CLIENT", "LIST"),
    ("CLIENT", "KILL", "TYPE", "normal"),
    ("SHUTDOWN",),
    ("MONITOR",),
    ("SCRIPT", "FLUSH"),
    ("FUNCTION", "FLUSH"),
    ("REPLICAOF", "NO", "ONE"),
    ("SAVE",),
    ("EVAL", "return 1", "0"),
    ("GET", "elsewhere"),
    ("SET", "elsewhere", "1"),
)
RUN_KEY, SHARD_KEY, LEASE_KEY = f"{PREFIX}run:{RUN}", f"{PREFIX}shard:{RUN}:{PAIR}", f"{PREFIX}lease:{RUN}"
TASKS = task_queue(QUEUE)
QUEUE_KEY, CONTROL, EVENTS = PREFIX + TASKS, f"{PREFIX}/0.celery.pidbox", f"{PREFIX}/0.celeryev/*"
#: What belongs to others.
OTHERS = {
    Role.PRODUCER: (
        ("BRPOP", QUEUE_KEY, "1"),
        ("RPOP", QUEUE_KEY),
        ("HGETALL", f"{PREFIX}unacked"),
        ("SET", f"{PREFIX}process:w/1", "x"),
        ("SET", f"{PREFIX}detector:{QUEUE}", "x"),
        ("HGET", f"{PREFIX}cargo:{RUN}", "0"),
        ("PSUBSCRIBE", EVENTS),
    ),
    Role.WORKER: (
        ("SET", LEASE_KEY, "9"),
        ("GET", LEASE_KEY),
        ("HSET", RUN_KEY, "state", "done"),
        ("DEL", RUN_KEY),
        ("DEL", SHARD_KEY),
        ("ZADD", f"{PREFIX}open:{RUN}", "0", "x"),
        ("ZRANGE", f"{PREFIX}open:{RUN}", "0", "-1"),
        ("BLPOP", f"{PREFIX}done:{RUN}", "1"),
        ("HSET", f"{PREFIX}cargo:{RUN}", "0", "x"),
        ("SET", PORT_KEY, "1"),
        ("SET", f"{PREFIX}figures:{RUN}", "x"),
        ("ZADD", f"{PREFIX}sharing:{QUEUE}", "1", "x"),
        ("DEL", QUEUE_KEY),
        ("LREM", QUEUE_KEY, "0", "x"),
        ("ZADD", WAITING_KEY, "1", "x"),
        ("INFO",),
        ("SCAN", "0"),
        ("PUBLISH", CONTROL, "x"),
        ("PSUBSCRIBE", EVENTS),
        ("DEL", f"{PREFIX}_kombu.binding.{TASKS}"),
    ),
    Role.MONITOR: (
        ("HSET", RUN_KEY, "state", "done"),
        ("HGET", RUN_KEY, "spec"),
        ("SCAN", "0"),
        ("GET", LEASE_KEY),
        ("HGET", SHARD_KEY, "items"),
        ("HSET", SHARD_KEY, "result", "x"),
        ("RPUSH", f"{PREFIX}done:{RUN}", "x"),
        ("SET", f"{PREFIX}figures:{RUN}", "x"),
        ("HGET", f"{PREFIX}cargo:{RUN}", "0"),
        ("BRPOP", QUEUE_KEY, "1"),
        ("LPUSH", QUEUE_KEY, "x"),
        ("LREM", QUEUE_KEY, "0", "x"),
        ("ZADD", WAITING_KEY, "1", "x"),
        ("HGETALL", f"{PREFIX}unacked"),
        ("SET", f"{PREFIX}process:w/1", "x"),
        ("PUBLISH", f"{PREFIX}/0.celeryev/worker.heartbeat", "x"),
        ("SADD", f"{PREFIX}_kombu.binding.{TASKS}", "x"),
    ),
}


@pytest.mark.parametrize("role", Role)
def test_what_is_the_servers_or_anothers_is_refused(fresh: Guarded, role: Role) -> None:
    client = fresh.client(role)
    words = rf"user {role.user} may not \w+ .*[Nn]o permissions to.*`producer url"
    for command in (*NOBODYS, *OTHERS[role]):
        with pytest.raises(NoPermissionError, match=words):
            client.execute_command(*command)
    pipe = client.pipeline(transaction=False)
    pipe.set("elsewhere", 1)
    with pytest.raises(NoPermissionError, match=rf"^user {role.user} may not SET"):
        pipe.execute()


def test_a_script_lends_nobody_more_than_they_have(fresh: Guarded) -> None:
    """A worker may run scripts on runs' keys, as claims do: what it may not write itself, its script may not."""
    worker = fresh.client(Role.WORKER)
    sha = worker.script_load("return redis.call('HSET', KEYS[1], 'state', 'done')")
    with pytest.raises(redis.ResponseError, match=r"can't access|ACL failure in script"):
        worker.evalsha(sha, 1, RUN_KEY)
    with pytest.raises(NoPermissionError):
        worker.evalsha(sha, 1, LEASE_KEY)


def test_who_has_no_name_is_nobody(fresh: Guarded) -> None:
    for password in (password_of(Role.WORKER), "anything"):
        assert not valkey.answers(("127.0.0.1", fresh.port), password)
    with socket.create_connection(("127.0.0.1", fresh.port)) as nameless:
        nameless.sendall(b"PING\r\n")
        assert nameless.recv(100).startswith(b"-NOAUTH")


@pytest.mark.parametrize("path", servers(), ids=lambda path: path.name)
def test_what_scripts_have_written_outlives_a_kill(path: Path, tmp_path: Path) -> None:
    """A script's writes are a transaction in the file, which servers read as the user that is off."""
    with lasting(path, tmp_path) as (server, again):
        owner = Ledger(server.client(Role.PRODUCER), RUN)
        assert owner.reserve({"spec": "{}", "spec_digest": "d"}) and owner.open(owner.lease(None), PAIR, b"a\0b")
        before = owner.open_shards()
        # While the file is being synced, a server holds its writes back for up to two seconds.
        wait_until(lambda: server.admin(server.port).info("persistence")["aof_buffer_length"] == 0, what="the file")
        again()
        assert Ledger(server.client(Role.PRODUCER), RUN).open_shards() == before != []


def printed(**environment: str) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).parent / "producer", "acl"]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_the_command_prints_hashes_and_makes_up_what_is_not_given() -> None:
    said = printed(MANYEYES_ACL_PRODUCER_PASSWORD="mine", MANYEYES_ACL_WORKER_PASSWORD="its")
    [made_up] = said.stderr.splitlines()
    name, _, password = made_up.partition("=")
    assert name == "MANYEYES_ACL_MONITOR_PASSWORD" and len(password) == 32
    given = {Role.PRODUCER: "mine", Role.WORKER: "its", Role.MONITOR: password}
    assert said.stdout.splitlines() == acl.lines(given)
    assert hashlib.sha256(b"its").hexdigest() in said.stdout and password not in said.stdout


def test_an_empty_password_is_none() -> None:
    said = printed(MANYEYES_ACL_WORKER_PASSWORD="")
    assert said.returncode == 2 and "MANYEYES_ACL_WORKER_PASSWORD is empty" in said.stderr and said.stdout == ""


def test_a_server_that_runs_takes_the_lines_too(fresh: Guarded) -> None:
    """Given a user with another password, when its line comes after ACL SETUSER, then only the new one counts."""
    admin = fresh.admin(fresh.port)
    before = admin.acl_getuser(Role.MONITOR.user)
    for password in ("another", password_of(Role.MONITOR)):
        _, *user = acl.line(Role.MONITOR, password).split()
        admin.execute_command("ACL", "SETUSER", *user)
        assert valkey.answers(("127.0.0.1", fresh.port), password, Role.MONITOR.user)
    assert not valkey.answers(("127.0.0.1", fresh.port), "another", Role.MONITOR.user)
    assert admin.acl_getuser(Role.MONITOR.user) == before


def test_a_wrong_password_is_sent_once(fresh: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers, and those who guard them, count wrong logins."""
    admin = fresh.admin(fresh.port)

    def denied() -> int:
        return int(admin.info("stats")["acl_access_denied_auth"])  # type: ignore[index]

    url = fresh.url(Role.WORKER).replace(password_of(Role.WORKER), "wrong")
    with client(url) as wrong, celery_app(url).connection_for_read() as connection:
        for ask in (wrong.ping, wrong.pipeline().ping().execute, lambda: connection.ensure_connection(max_retries=0)):
            before = denied()
            with pytest.raises((redis.AuthenticationError, OperationalError)):
                ask()
            assert denied() == before + 1
    # By a worker that starts: at once, after one second, and in the end.
    monkeypatch.setattr(startup, "BROKER_START_S", 2.0)
    before = denied()
    with pytest.raises(BrokerError, match="wants another user or password"):
        startup.await_broker(url, "w")
    assert denied() == before + 3


def test_a_dead_workers_message_is_given_back_by_another(fresh: Guarded) -> None:
    """What kombu does for us: after the visibility timeout whoever comes first restores what nobody acknowledged."""
    queue = Queue(TASKS, Exchange("celery"), routing_key=TASKS)
    sender, taker = (celery_app(fresh.url(role)) for role in (Role.PRODUCER, Role.WORKER))
    taker.conf.broker_transport_options["ack_emulation"] = True
    with sender.connection_for_write() as connection, connection.Producer() as messages:
        messages.publish({"v": 1}, routing_key=TASKS, exchange=queue.exchange, declare=[queue])
    with taker.connection_for_read() as connection:
        taken: list[object] = []
        with connection.Consumer(queue, on_message=taken.append) as consumer:
            connection.drain_events(timeout=10)
        assert taken
        channel = consumer.channel
        admin = fresh.admin(fresh.port)
        [tag] = admin.zrange(f"{PREFIX}unacked_index", 0, -1)  # type: ignore[misc]
        admin.zadd(f"{PREFIX}unacked_index", {tag: 1})
        channel.qos.restore_visible(num=10, interval=1)
        assert sum(admin.llen(PREFIX + key) for key in queue_keys(TASKS)) == 1 and not admin.exists(f"{PREFIX}unacked")
        channel.qos._delivered.clear()  # as if this one had died
    assert fresh.refused() == []


def test_an_acknowledgement_that_is_refused_holds_up_no_other(fresh: Guarded, caplog: pytest.LogCaptureFixture) -> None:
    """Of a key that somebody has made another kind, or a right that was taken."""
    queue = Queue(TASKS, Exchange("celery"), routing_key=TASKS)
    sender, taker = (celery_app(fresh.url(role)) for role in (Role.PRODUCER, Role.WORKER))
    taker.conf.broker_transport_options["ack_emulation"] = True
    admin, index = fresh.admin(fresh.port), f"{PREFIX}unacked_index"
    with sender.connection_for_write() as connection, connection.Producer() as messages:
        for number in range(2):
            messages.publish({"v": number}, routing_key=TASKS, exchange=queue.exchange, declare=[queue])
    with taker.connection_for_read() as connection:
        taken: list[Any] = []
        with connection.Consumer(queue, on_message=taken.append) as consumer:
            while len(taken) < 2:
                connection.drain_events(timeout=10)
        admin.rename(index, f"{PREFIX}aside")
        admin.set(index, "no sorted set")
        taken[0].ack()
        assert "cannot be acknowledged, and may come once more: WRONGTYPE" in caplog.text
        admin.rename(f"{PREFIX}aside", index)
        taken[1].ack()
        assert len(caplog.records) == 1 and not admin.exists(f"{PREFIX}unacked")
        consumer.channel.qos._flush()
        assert not consumer.channel.qos._delivered


@pytest.mark.parametrize("role", Role)
def test_whoever_listens_sweeps_away_the_bindings_of_those_who_have_gone(fresh: Guarded, role: Role) -> None:
    admin = fresh.admin(fresh.port)
    admin.sadd(f"{PREFIX}_kombu.binding.reply.celery.pidbox", "gone")
    admin.zadd(f"{PREFIX}_kombu.binding_deadlines", {"reply.celery.pidbox": 1})
    with celery_app(fresh.url(role)).connection_for_read() as connection:
        connection.default_channel.sweep_bindings()
    assert not admin.exists(f"{PREFIX}_kombu.binding.reply.celery.pidbox", f"{PREFIX}_kombu.binding_deadlines")
    assert fresh.refused() == []


def test_an_owner_that_is_refused_something_does_not_wait_for_it(fresh: Guarded) -> None:
    sender = celery_app(fresh.url(Role.MONITOR))
    with pytest.raises(OperationalError, match="o permissions") as refused:
        sender.send_task("manyeyes.detect", queue=TASKS)
    sender.close()
    with pytest.raises(OperationalError):
        Unrest().outwait(refused.value)
