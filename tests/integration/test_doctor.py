"""What `producer doctor` makes of what strangers and earlier versions have written, on a real broker."""

from __future__ import annotations

import base64
import json
import threading
from dataclasses import asdict
from pathlib import Path

import pytest
import redis

from common import __version__
from common.broker.connect import celery_app
from common.protocol import heartbeats
from common.protocol.heartbeats import WorkerBeat
from common.protocol.messages import task_queue
from common.protocol.rejections import REFUSED_KEY
from producer.cli import doctor
from producer.doctor import broker, examine, workers
from producer.relay.transport import ask
from producer.scheduler.live_processes import Connection
from tests.acceptance.brokers import Forgetful

#: Clears a terminal.
HOSTILE = "\x1b[2J"


def test_no_word_of_a_stranger_moves_the_cursor(
    redis_url: str, client: redis.Redis, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client.hset(REFUSED_KEY, b"\xff" + HOSTILE.encode(), 3)
    client.rpush(f"manyeyes:{task_queue('hog' + HOSTILE)}", "{}")
    doctor.doctor(None, redis_url, tmp_path)
    said = capsys.readouterr().out
    assert "workers have refused 3" in said and "messages wait in" in said
    assert HOSTILE not in said and said.count("\\x1b[2J") == 2


def test_a_broker_that_a_file_names_is_seen_as_by_its_url(tmp_path: Path) -> None:
    server, file = Forgetful(tmp_path), tmp_path / "url"

    def found(named: str) -> set[tuple[str, str]]:
        seen = examine(named, [], tmp_path)
        return {(one.level, one.part) for one in seen if one.part in {"login", "encryption", "broker"}}

    try:
        file.write_text(server.url)
        assert found(str(file)) == found(server.url) == {("ok", "broker"), ("note", "login")}
        file.write_text("nothing")
        assert found(str(file)) == found("redis://[::1/0") == {("failed", "broker")}
    finally:
        server.end()


def test_a_snapshot_is_no_append_only_file() -> None:
    assert "no append-only file" in broker._persistence({"aof_enabled": 0, "rdb_last_save_time": 1}).words


def test_a_worker_that_says_no_version_is_an_earlier_one(client: redis.Redis) -> None:
    beat = asdict(WorkerBeat("w@there", "there", 1, ("hog-1234",), 1, 1, 0.0, version=__version__))
    del beat["version"]
    client.set(heartbeats.worker_key("w@there"), json.dumps(beat), ex=60)
    client.zadd(heartbeats.WORKERS_KEY, {"w@there": 0})
    [words] = [one.words for one in workers.findings(client) if one.part == "versions"]
    assert "w@there runs an earlier manyeyes" in words


def test_a_forged_answer_ends_nobody_who_asks(
    redis_url: str, client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    forged = {
        "headers": ["x"],
        "properties": {"delivery_tag": "1", "body_encoding": "base64"},
        "body": base64.b64encode(b"{}").decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
    }
    with client.pubsub() as questions:
        questions.psubscribe("manyeyes:/0.celery.pidbox")
        assert questions.get_message(timeout=5)

        def answer() -> None:
            said = questions.get_message(timeout=10)
            assert said is not None
            question = json.loads(base64.b64decode(json.loads(said["data"])["body"]))
            queue = f"{question['reply_to']['routing_key']}.reply.celery.pidbox"
            client.lpush(f"manyeyes:{queue}", json.dumps(forged))

        stranger = threading.Thread(target=answer)
        stranger.start()
        with celery_app(redis_url) as app:
            assert ask(Connection(client, app), ["w@there"], b"/x", [b"a"], "") == {}
        stranger.join()
    assert "an answer that no worker gave" in caplog.text
