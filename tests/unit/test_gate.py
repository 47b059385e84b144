"""What the producer's own app sends passes the gate as it is; commands pass as the worker's owner wants them."""

from __future__ import annotations

import base64
import json

import pytest
import redis

from chaos.wire import prey
from common.broker.connect import celery_app
from common.protocol.messages import DETECT_TASK, ShardId, ShardMessage
from common.protocol.rejections import REFUSED_KEY, Reason, Refused
from worker.intake import message_filter
from worker.intake.rejection_counter import Refusals

MESSAGE = ShardMessage("20260101-000000-abcdefgh", ShardId(0, 7, 9), 2, "d" * 64)


def sent(client: redis.Redis, url: str) -> bytes:
    app = celery_app(url)
    shown = "9 images, hog"
    app.send_task(DETECT_TASK, kwargs=MESSAGE.to_kwargs(), queue="q", task_id=MESSAGE.task_id, argsrepr=shown)
    app.close()
    raw = client.lpop("manyeyes:q")
    assert isinstance(raw, bytes)
    return raw


def test_a_real_message_passes_and_says_the_same(client: redis.Redis, redis_url: str) -> None:
    raw = sent(client, redis_url)
    before, after = json.loads(raw), json.loads(message_filter.task(raw, "q"))
    assert json.loads(base64.b64decode(after["body"])) == json.loads(base64.b64decode(before["body"]))
    same = ("id", "task", "root_id", "argsrepr", "kwargsrepr")
    assert {name: after["headers"][name] for name in same} == {name: before["headers"][name] for name in same}
    assert after["properties"]["correlation_id"] == MESSAGE.task_id
    # One that was delivered and comes again has passed the gate already.
    assert json.loads(message_filter.task(json.dumps(after).encode(), "q"))["body"] == after["body"]


def test_all_commands_are_for_those_who_ask_for_them(client: redis.Redis, redis_url: str) -> None:
    _, ping = prey.command(client, redis_url)
    envelope = json.loads(ping)
    body = {**json.loads(base64.b64decode(envelope["body"])), "method": "pool_grow", "arguments": {"n": 2}}
    raw = json.dumps({**envelope, "body": base64.b64encode(json.dumps(body).encode()).decode()}).encode()
    with pytest.raises(Refused, match="MANYEYES_REMOTE_CONTROL=1"):
        message_filter.control(raw)
    passed = json.loads(base64.b64decode(json.loads(message_filter.control(raw, anything=True))["body"]))
    assert (passed["method"], passed["arguments"]) == ("pool_grow", {"n": 2})
    assert passed["reply_to"] == body["reply_to"] and passed["ticket"] == body["ticket"]


@pytest.mark.parametrize("root", ["http://169.254.169.254", "s3://bucket", "HTTPS://h/x", "", "data"])
def test_files_are_asked_about_and_no_urls(root: str, client: redis.Redis, redis_url: str) -> None:
    """Who may broadcast is no producer yet."""
    _, ping = prey.command(client, redis_url)

    def question(root: str, *paths: str) -> bytes:
        asked = {"root": root, "paths": list(paths), "cargo": "1"}
        body = json.dumps({"method": "sight", "arguments": asked}).encode()
        return json.dumps({**json.loads(ping), "body": base64.b64encode(body).decode()}).encode()

    with pytest.raises(Refused, match="URLs"):
        message_filter.control(question(root, "a.jpg"))
    assert message_filter.control(question(root)), "a producer that ships asks for the way to the cargo only"
    assert message_filter.control(question("/data", "a.jpg"))


def test_refusals_are_counted_also_those_that_could_not_be_told_at_first(client: redis.Redis) -> None:
    refusals, gone = Refusals(), redis.Redis(unix_socket_path="/nowhere")
    for _ in range(3):
        refusals.note(Refused(Reason.MALFORMED, "x"))
    with pytest.raises(redis.RedisError):
        refusals.tell(gone)
    refusals.note(Refused(Reason.CONTROL, "y"))
    refusals.tell(client)
    refusals.tell(client)
    assert client.hgetall(REFUSED_KEY) == {b"malformed": b"3", b"control": b"1"}
