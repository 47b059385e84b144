"""Whatever stands in the broker in a forger's hand: workers and owners refuse it, count it, and go on."""

from __future__ import annotations

import base64
import hashlib
import json
import pickle
import re
import subprocess
import zlib
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import psutil
import pytest
import redis

from chaos.fuzz.watch import peak
from chaos.wire import forgeries, prey
from chaos.wire.shots import Witness
from common.broker.connect import celery_app, connect
from common.limits import PROTOCOL
from common.protocol import heartbeats
from common.protocol.heartbeats import PROCESSES_KEY, WORKERS_KEY, Beat, process_key, worker_key
from common.protocol.ledger import Ledger, run_key, shard_key
from common.protocol.messages import DETECT_TASK, ShardId, ShardMessage, queue_keys, task_queue
from common.protocol.rejections import REFUSED_KEY
from common.protocol.spec import Spec
from tests.acceptance.commands import Said, finish, producer, start
from tests.acceptance.workers import a_worker
from tests.unit import pictures
from tests.waiting import wait_until

CHECKOUT = Path(__file__).resolve().parents[2]
RUN = "20260101-000000-abcdefgh"
MESSAGE = ShardMessage(RUN, ShardId(0, 0, 1), 1, "d" * 64)
#: Bytes, resident. A worker's parent holds 90 MB by itself.
BOUND = 250 << 20


class Besieged:
    """One real worker of one process, and its queue."""

    def __init__(self, url: str, client: redis.Redis, process: subprocess.Popen[str], log: Path) -> None:
        self.url, self.client, self.process, self.log = url, client, process, log
        [self.beat] = heartbeats.live_processes(client)
        [self.queue] = self.beat.queues
        self.channel, self.ping = prey.command(client, url)

    def push(self, *raws: bytes) -> None:
        self.client.lpush(f"manyeyes:{task_queue(self.queue)}", *raws)

    def refused(self) -> dict[str, int]:
        found = cast("dict[bytes, bytes]", self.client.hgetall(REFUSED_KEY))
        return {reason.decode(): int(count) for reason, count in found.items()}

    def await_refused(self, **counts: int) -> None:
        wait_until(lambda: self.refused() == counts, 20, f"{counts} refused; there are {self.refused()}")

    def unharmed(self) -> bool:
        """The same processes, none of them bloated, and nothing left that would come again."""
        waiting = sum(self.client.llen(f"manyeyes:{key}") for key in queue_keys(task_queue(self.queue)))
        nothing_waits = not waiting and not self.client.hlen("manyeyes:unacked")
        here = psutil.Process(self.process.pid)
        pids = [child.pid for child in here.children()]
        return nothing_waits and pids == [self.beat.pid] and peak(here) < BOUND and self.process.poll() is None


@pytest.fixture(scope="module")
def started(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Besieged]:
    folder = tmp_path_factory.mktemp("besieged")
    with connect(broker) as client:
        client.flushall()
        with a_worker(["worker", "start", "--detector", "cascade", "-c", "1"], folder, broker) as process:
            yield Besieged(broker, client, process, folder / "worker.log")


@pytest.fixture
def besieged(started: Besieged) -> Besieged:
    started.client.delete(REFUSED_KEY)
    return started


def envelope(message: ShardMessage = MESSAGE, **headers: Any) -> dict[str, Any]:
    """As Celery sends it."""
    body = [[], message.to_kwargs(), {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]
    return {
        "body": packed(json.dumps(body).encode()),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"task": DETECT_TASK, "id": message.task_id, "lang": "py", **headers},
        "properties": {
            "body_encoding": "base64",
            "delivery_tag": "x",
            "delivery_info": {"exchange": "", "routing_key": "x"},
        },
    }


def packed(body: bytes) -> str:
    return base64.b64encode(body).decode()


def raw(message: ShardMessage = MESSAGE, **headers: Any) -> bytes:
    return json.dumps(envelope(message, **headers)).encode()


def with_body(body: bytes, **changed: Any) -> bytes:
    return json.dumps({**envelope(), "body": packed(body), **changed}).encode()


def test_nothing_but_json_is_taken(besieged: Besieged, tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    pickled = pickle.dumps(Witness(str(witness)))
    besieged.push(
        *(with_body(pickled, **{"content-type": kind}) for kind in ("application/x-python-serialize", "pickle", "")),
        with_body(b"a: b", **{"content-type": "application/x-yaml"}),
        with_body(b"\x80", **{"content-type": "application/x-msgpack"}),
        with_body(b"\0", **{"content-type": "application/data", "content-encoding": "binary"}),
    )
    besieged.await_refused(content_type=6)
    assert not witness.exists() and besieged.unharmed()


def test_nothing_compressed_is_unpacked_and_nothing_large_is_parsed(besieged: Besieged) -> None:
    """A quarter of a gigabyte in 250 kB; and lists in a list, each of which would be 60 bytes for its three."""
    bomb = zlib.compress(bytes(40 << 20))
    for name in ("zlib", "gzip", "application/x-gzip", "bzip2", "lzma", "brotli", "zstd", "unknown"):
        besieged.push(json.dumps({**envelope(compression=name), "body": packed(bomb)}).encode())
    besieged.push(json.dumps({**envelope(), "body": packed(zlib.compress(bytes(256 << 20)))}).encode())
    besieged.push(b"[" + b"[]," * (4 << 20) + b"[]]", b'"' + b"x" * (1 << 20) + b'"')
    besieged.await_refused(compressed=8, too_large=3)
    assert besieged.unharmed()


def test_what_is_no_message_of_ours_ends_nobody(besieged: Besieged) -> None:
    good = envelope()
    malformed = [
        *(b"", b"no json", b"\xff\xfe\x00", b"null", b"[]", b"{}", b"1" * 5000, b"[" * 60_000, b'{"a":' * 10_000),
        *(
            json.dumps({**good, name: value}).encode()
            for name in good
            for value in (None, 7, [])
            if "content" not in name
        ),
        *(with_body(body) for body in (b"", b"{}", b"[]", b"[[1],{},{}]", b"[" * 40_000)),
        json.dumps({**good, "body": "*"}).encode(),
        json.dumps({**good, "properties": {"body_encoding": "rot13"}}).encode(),
    ]
    besieged.push(*malformed)
    others = [
        "celery.backend_cleanup",
        "celery.chord_unlock",
        "celery.accumulate",
        "celery.map",
        "x",
        None,
        [1],
        {},
        1e400,
    ]
    besieged.push(*(raw(task=name) for name in others))
    after: list[Any] = [[], MESSAGE.to_kwargs(), {"chain": [{"task": "celery.group", "args": []}]}]
    options: list[dict[str, Any]] = [{"eta": "2099-01-01"}, {"expires": 1}, {"timelimit": [1, 2]}, {"retries": 3}]
    besieged.push(with_body(json.dumps(after).encode()), *(raw(**option) for option in options))
    forged = [
        {"v": PROTOCOL + 1},
        {"run": "../x"},
        {"run": "x" * 99},
        {"shard": "0:0+0"},
        {"attempt": 10**30},
        {"attempt": True},
    ]
    forged += [{"spec_digest": "\x1b[2J"}, {"more": 1}, {"shard": "\ud800"}, {"attempt": float("nan")}]
    besieged.push(*(with_body(json.dumps([[], MESSAGE.to_kwargs() | one, {}]).encode()) for one in forged))
    besieged.await_refused(malformed=len(malformed), unknown_task=len(others), options=5, protocol=len(forged))
    assert besieged.unharmed()
    # However many come, a few lines say so.
    log = besieged.log.read_text(errors="replace")
    assert "Traceback" not in log and "\x1b" not in log
    assert len(re.findall("refused: ", log)) < 20


def test_what_passes_is_written_anew(besieged: Besieged) -> None:
    """A stranger's tag, answer's address and priority would be Celery's to believe."""
    good = envelope(argsrepr="9 images\x1b[2J", reply_to="evil", id="\x1b]0;evil\x07", clock=10**300)
    good["properties"] |= {"delivery_tag": ["unhashable"], "delivery_info": "none", "priority": "high", "reply_to": {}}
    besieged.push(json.dumps(good).encode())
    wait_until(
        lambda: f"run={RUN} shard=0:0+1 attempt=1] not needed: nobody waits" in besieged.log.read_text(),
        what="its line",
    )
    wait_until(besieged.unharmed, what="its acknowledgement")
    assert not besieged.refused()


def test_commands_that_change_a_worker_are_refused(besieged: Besieged) -> None:
    app = celery_app(besieged.url)
    for command in forgeries.CHANGING:
        app.control.broadcast(command, arguments={"n": 1, "task_id": "x", "signal": "KILL", "queue": besieged.queue})
    app.control.broadcast("ping", pattern="(([a-z0-9@]+)+)+$!", matcher="pcre")
    besieged.await_refused(control=len(forgeries.CHANGING) + 1)
    bomb = {**json.loads(besieged.ping), "body": packed(zlib.compress(bytes(40 << 20)))}
    bomb["headers"] |= {"compression": "zlib"}
    pickled = {**json.loads(besieged.ping), "content-type": "application/x-python-serialize"}
    for sent in (json.dumps(bomb).encode(), json.dumps(pickled).encode(), b"[" * 60_000, b"\xff", b"x" * (1 << 20)):
        besieged.client.publish(besieged.channel, sent)
    counts = {
        "control": len(forgeries.CHANGING) + 1,
        "compressed": 1,
        "content_type": 1,
        "malformed": 2,
        "too_large": 1,
    }
    besieged.await_refused(**counts)
    assert besieged.unharmed()
    # What people and Flower ask is answered, and says no password.
    inspect = app.control.inspect([besieged.beat.worker], timeout=10)
    assert inspect.ping() and inspect.registered() == {besieged.beat.worker: [DETECT_TASK]}
    app.close()


def forge(client: redis.Redis, spec: str, items: bytes, digest: str, **fields: str) -> None:
    """A run that nobody submitted, and its one shard."""
    client.delete(run_key(RUN), shard_key(RUN, MESSAGE.shard))
    client.hset(run_key(RUN), mapping={"state": "running", "spec_digest": digest, "spec": spec, **fields})
    client.hset(shard_key(RUN, MESSAGE.shard), mapping={"attempt": 1, "sent": 1, "items": items})


@pytest.fixture
def spec(besieged: Besieged, tmp_path: Path) -> Spec:
    """One that this worker takes, of a folder."""
    return Spec(
        datasets=(str(tmp_path),),
        root=str(tmp_path),
        detector="cascade",
        detector_digest="0" * 64,
        queue=besieged.queue,
        labels=("face",),
        conf=0.5,
        iou=0.5,
        floor=0.01,
    )


def test_what_redis_holds_of_a_run_is_not_believed_either(besieged: Besieged, spec: Spec, tmp_path: Path) -> None:
    outside = tmp_path.parent / "outside.jpg"
    outside.write_bytes(b"x")
    text = spec.to_text()
    items = [b"../outside.jpg", b"a/../../outside.jpg", bytes(outside), b"", b"a\0b", b"x" * 5000, b"y" * (2 << 20)]
    specs = [
        *(
            "",
            "null",
            "[]",
            "{}",
            "[" * 9000,
            text[:-1],
            text.replace('"root"', '"toor"'),
            text.replace("0.5", '"0.5"'),
        ),
        replace(spec, imgsz=(100_000, 100_000)).to_text(),
        replace(spec, floor=float("nan")).to_text(),
        replace(spec, image_timeout=float("inf")).to_text(),
        replace(spec, max_pixels=10**30).to_text(),
        replace(spec, scale="9:1").to_text(),
        replace(spec, root="a\0b").to_text(),
        replace(spec, root="\ud800").to_text(),
        replace(spec, queue="another-00000000").to_text(),
    ]
    forged = [(text, item, {}) for item in items] + [(one, b"a.jpg", {}) for one in specs]
    forged += [(text, b"a.jpg", {"cargo": place}) for place in ("x", "0", "99999", "\u0663")]
    for number, (one, item, more) in enumerate(forged, 1):
        digest = hashlib.sha256(one.encode("utf-8", "surrogatepass")).hexdigest()
        forge(besieged.client, one, item, digest, **more)
        besieged.push(raw(replace(MESSAGE, spec_digest=digest)))
        besieged.await_refused(protocol=number)
    # The digest is of another spec; and what should be a hash is none.
    forge(besieged.client, text, b"a.jpg", "e" * 64)
    besieged.push(raw())
    besieged.await_refused(protocol=number + 1)
    besieged.client.delete(run_key(RUN))
    besieged.client.set(run_key(RUN), b"\xff")
    besieged.push(raw())
    besieged.await_refused(protocol=number + 2)
    assert not besieged.client.hget(shard_key(RUN, MESSAGE.shard), "result")
    wait_until(besieged.unharmed, what="the acknowledgements")
    assert "Traceback" not in besieged.log.read_text(errors="replace")


def test_a_real_run_goes_on_while_others_write_rubbish_beside_it(besieged: Besieged, tmp_path: Path) -> None:
    """Heartbeats, shares, ids of committed shards and runs that are none: for the owner, and for people to be shown."""
    (tmp_path / "photos").mkdir()
    for number in range(3):
        (tmp_path / "photos" / f"{number}.jpg").write_bytes(pictures.jpeg())
    rubbish = [b"", b"{", b"[]", b"null", b"\xff", b"[" * 9000, b'{"worker": 1}', json.dumps(forged_beat()).encode()]
    client = besieged.client
    for number, one in enumerate(rubbish):
        name = f"\x1b[2J{number}"
        client.set(process_key(name), one, ex=60)
        client.set(worker_key(name), one, ex=60)
        client.zadd(PROCESSES_KEY, {name: 1, b"\xff": 1})
        client.zadd(WORKERS_KEY, {name: 1, b"\xff": 1})
        client.zadd(f"manyeyes:sharing:{besieged.queue}", {one: 1e12})
    assert [beat.process for beat in heartbeats.live_processes(client)] == [besieged.beat.process]
    said = producer("workers", cwd=tmp_path, MANYEYES_BROKER_URL=besieged.url)
    assert said.code == 0 and "\x1b" not in said.out and besieged.beat.worker in said.out, said.err
    ran = producer(
        "submit", "photos", "--detector", "cascade", "--json", cwd=tmp_path, MANYEYES_BROKER_URL=besieged.url
    )
    assert ran.code == 0 and ran.json["ok"] == 3, ran.err
    client.delete(f"manyeyes:sharing:{besieged.queue}")


def forged_beat() -> dict[str, Any]:
    beat = Beat("\x1b]0;evil\x07", "evil", "evil", 1, ("evil",), started=1e300)
    return asdict(beat)


def test_hundreds_of_hostile_messages_beside_a_real_run(tmp_path: Path) -> None:
    """`make fuzz-wire`, short: the worker lives, opens nothing outside its root, and the run's bytes are the same."""
    said = run("python", "-m", "chaos.wire", "--count", 300, "--seed", 3, "--json", "--folder", tmp_path / "kept")
    assert said.code == 0, said.err + said.out
    found = said.json
    assert sum(found["sent"].values()) == 300 and len(found["sent"]) == 15 and not found["faults"]
    assert all(found["refused"][reason] >= due > 0 for reason, due in found["due"].items()) and len(found["due"]) == 8


def run(program: str, *arguments: object) -> Said:
    return finish(start(program, *arguments, cwd=CHECKOUT))


def test_ids_of_no_shards_end_no_owner(besieged: Besieged) -> None:
    client, ledger = besieged.client, Ledger(besieged.client, RUN)
    for one in (b"", b"\xff", b"x", b"0:0+99999", b"0:5+3"):
        client.rpush(f"manyeyes:done:{RUN}", one)
        client.zadd(f"manyeyes:open:{RUN}", {one: 1})
    assert ledger.wait_committed(1) == [ShardId(0, 5, 3)]
    assert ledger.open_shards() == []
