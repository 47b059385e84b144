"""`celery -A worker.app flower` by its pages: what is to be read after a run with a death in it; what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from common.broker.connect import celery_app, connect
from common.protocol import heartbeats
from common.protocol.ledger import run_key
from common.protocol.messages import DETECT_TASK, ShardId, ShardMessage, task_queue
from common.protocol.rejections import REFUSED_KEY, Reason
from producer.cluster import valkey
from tests.acceptance.brokers import free_port
from tests.acceptance.commands import finish, only_run, producer, start
from tests.acceptance.flowers import Flower, a_flower
from tests.acceptance.workers import a_worker
from tests.failure import poison
from tests.waiting import wait_until

#: Of the broker: every sign that a URL gives a meaning to.
PASSWORD = "s3cret@:/?#%+x"
IMAGES = 12
#: Every request by which Flower changes something; `{}` is the worker.
CONTROLS = (
    "/api/worker/shutdown/{}",
    "/api/worker/pool/restart/{}",
    "/api/worker/pool/grow/{}",
    "/api/worker/pool/shrink/{}",
    "/api/worker/pool/autoscale/{}?min=0&max=1",
    "/api/worker/queue/add-consumer/{}?queue=other",
    "/api/worker/queue/cancel-consumer/{}?queue=other",
    "/api/task/apply/manyeyes.detect",
    "/api/task/async-apply/manyeyes.detect",
    "/api/task/send-task/manyeyes.detect",
    "/api/task/abort/some",
    "/api/task/revoke/some?terminate=true",
    "/api/task/timeout/manyeyes.detect?workername={}&hard=1",
    "/api/task/rate-limit/manyeyes.detect?workername={}&ratelimit=1",
)
PAGES = ("/", "/workers", "/tasks", "/broker", "/metrics", "/api/workers", "/api/tasks", "/api/queues/length")


@dataclass(frozen=True)
class Scene:
    """Over after a run in which one image killed its process each time."""

    folder: Path
    broker: str
    flower: Flower
    run: str
    worker: str
    queue: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        return self.flower.rows(self.flower.login)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("flower")
    port = free_port()
    server = valkey.spawn(
        valkey.server_path(),
        valkey.volatile("127.0.0.1", port, valkey.password(PASSWORD), folder),
        folder / "valkey.log",
    )
    url = f"redis://:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/0"
    made = poison.make(folder, IMAGES, ["segfault"])
    command = ["worker", "start", "--detector", "poisonable", "-c", "1"]
    try:
        wait_until(lambda: valkey.answers(("127.0.0.1", port), PASSWORD), what="the broker")
        with a_flower(folder, url) as flower, a_worker(command, folder, url, **made.environment):
            with connect(url) as client:
                [worker] = wait_until(lambda: heartbeats.live_workers(client), what="the worker's heartbeat")
            known = lambda: worker.worker in flower.ask("/workers?json=1", flower.login).text  # noqa: E731
            wait_until(known, what="Flower's first events")
            said = producer("submit", "photos", "--detector", "poisonable", cwd=folder, MANYEYES_BROKER_URL=url)
            assert said.code == 3, said.err
            yield Scene(folder, url, flower, only_run(folder).name, worker.worker, worker.queues[0])
    finally:
        server.kill()
        server.wait()


def test_a_row_tells_run_shard_images_detector_result_and_time(scene: Scene) -> None:
    rows = wait_until(lambda: [row for row in scene.rows if row["state"] == "SUCCESS"], what="what was committed")
    for row in rows:
        run, shard, attempt = row["uuid"].split("/")
        count = int(shard.partition("+")[2])
        images = "1 image" if count == 1 else f"{count} images"
        again = f", attempt {attempt}" if attempt != "1" else ""
        assert run == scene.run
        assert row["args"] == f"{images}, poisonable, run {run}, shard {shard}{again}"
        assert row["result"] == "committed" and row["runtime"] > 0 and row["worker"] == scene.worker
    page = scene.flower.ask("/tasks", scene.flower.login).text
    assert [part.partition('"')[0] for part in page.split('data-column="')[1:]] == [
        "uuid",
        "args",
        "state",
        "result",
        "runtime",
        "worker",
        "received",
    ]
    assert scene.worker in scene.flower.ask("/workers?json=1", scene.flower.login).text


def test_a_death_reads_as_one(scene: Scene) -> None:
    def died_alone() -> list[dict[str, Any]]:
        return [row for row in scene.rows if row["state"] == "FAILURE" and row["args"].startswith("1 image,")]

    wait_until(lambda: {row["uuid"][-2:] for row in died_alone()} == {"/1", "/2", "/3"}, what="three deaths")
    assert {row["result"] for row in died_alone()} == {"its process died: signal 11 (SIGSEGV)"}


def test_a_refused_message_says_why(scene: Scene) -> None:
    forged = ShardMessage("20260101-000000-abcdefgh", ShardId(0, 0, 1), 1, "0" * 64)
    with connect(scene.broker) as client:
        assert not client.hget(REFUSED_KEY, Reason.CONTROL), "what Flower asks of workers when it comes is no attack"
        client.hset(run_key(forged.run), mapping={"state": "running", "spec_digest": "another"})
    with celery_app(scene.broker) as app:
        app.send_task(DETECT_TASK, kwargs=forged.to_kwargs(), queue=task_queue(scene.queue), argsrepr="<b>hi</b>")

    def row() -> dict[str, Any] | None:
        return next((row for row in scene.rows if row["uuid"] == forged.task_id and row["state"] == "FAILURE"), None)

    result = wait_until(row, what="the refusal")["result"]
    assert result.startswith("ProtocolError: shard 0:0+1 of 20260101-000000-abcdefgh is not what was opened")
    page = scene.flower.ask(f"/task/{forged.task_id}", scene.flower.login).text
    assert "&lt;b&gt;hi" in page and "<b>hi" not in page


def test_nobody_reads_it_without_its_password(scene: Scene) -> None:
    assert scene.flower.listens == {"127.0.0.1"}
    for page in PAGES:
        assert scene.flower.ask(page, None).status_code == 401, page
        assert scene.flower.ask(page, ("manyeyes", "guess")).status_code == 401, page
        assert scene.flower.ask(page, scene.flower.login).status_code == 200, page
    assert scene.flower.ask("/healthcheck", None).text == "OK"


def test_it_changes_nothing(scene: Scene) -> None:
    for control in CONTROLS:
        path = control.format(quote(scene.worker))
        assert scene.flower.ask(path, None, "POST").status_code == 401, path
        answer = scene.flower.ask(path, scene.flower.login, "POST")
        assert (answer.status_code, answer.text) == (403, "Read only mode is enabled"), path
    with connect(scene.broker) as client:
        assert [one.worker for one in heartbeats.live_workers(client)] == [scene.worker]


def test_no_page_and_no_log_has_the_brokers_password(scene: Scene) -> None:
    refreshed = scene.flower.ask("/api/workers?refresh=1&status=1", scene.flower.login)
    assert refreshed.status_code == 200
    tasks = (f"/task/{quote(row['uuid'], safe='')}" for row in scene.rows)
    answers = {page: scene.flower.ask(page, scene.flower.login) for page in [*PAGES, f"/worker/{scene.worker}", *tasks]}
    assert {answer.status_code for answer in answers.values()} == {200}
    texts = {page: answer.text for page, answer in answers.items()}
    assert scene.queue in texts["/broker"] and "redis://:**@127.0.0.1" in texts["/broker"]
    assert "broker_url" in texts[f"/worker/{scene.worker}"]
    texts["its log"] = scene.flower.log.read_text()
    for secret in (PASSWORD, quote(PASSWORD, safe=""), "s3cret"):
        assert [name for name, text in texts.items() if secret in text] == []
    assert "Unable to get queues" not in texts["its log"]


def test_what_it_knows_survives_its_end_and_its_password_does_not(tmp_path: Path, redis_url: str) -> None:
    with a_flower(tmp_path, redis_url) as first:
        login = first.login
        with celery_app(redis_url) as app:

            def known() -> list[dict[str, Any]]:
                # Again: it may not listen yet.
                app.send_task(DETECT_TASK, kwargs={}, queue="nobody's", task_id="known")
                return first.rows(login)

            assert [row["uuid"] for row in wait_until(known, what="the task")] == ["known"]
    assert (tmp_path / "cache" / "flower").stat().st_mode & 0o777 == 0o700
    # As of a compose file whose variables are not set.
    nothing = {"FLOWER_BASIC_AUTH": "", "FLOWER_UNAUTHENTICATED_API": "false"}
    with a_flower(tmp_path, redis_url, **nothing) as second:
        assert [row["uuid"] for row in second.rows(second.login)] == ["known"]
        assert second.login != login and second.ask("/tasks", login).status_code == 401


def test_what_its_user_says_counts(tmp_path: Path, redis_url: str) -> None:
    """In every way that Flower has: its environment, its file, its command line."""
    (tmp_path / "flowerconfig.py").write_text("read_only = False\n")
    secret = redis_url.partition("//:")[2].partition("@")[0]
    with a_flower(tmp_path, redis_url, "--tasks_columns=uuid", FLOWER_BASIC_AUTH="me:mine") as flower:
        mine = ("me", "mine")
        assert flower.ask("/tasks", None).status_code == 401
        page = flower.ask("/tasks", mine).text
        assert 'data-column="uuid"' in page and 'data-column="args"' not in page
        assert flower.ask("/api/worker/pool/grow/nobody", mine, "POST").status_code == 404, "asked, and not there"
        broker = flower.ask("/broker", mine).text
        assert "celery" in broker and secret not in broker, "by unix socket too"
        assert "Unable to get queues" not in flower.log.read_text()
        assert "password" not in flower.log.read_text()


def test_it_is_open_for_those_who_say_so(tmp_path: Path, redis_url: str) -> None:
    with a_flower(tmp_path, redis_url, FLOWER_UNAUTHENTICATED_API="true") as flower:
        assert flower.ask("/tasks", None).status_code == 200
        assert flower.ask("/api/tasks", None).status_code == 200
        assert flower.listens == {"127.0.0.1"}
        assert flower.ask("/api/task/revoke/some", None, "POST").status_code == 403


def test_without_a_broker_it_says_what_is_missing(tmp_path: Path) -> None:
    said = finish(start("celery", "-A", "worker.app", "flower", cwd=tmp_path))
    assert said.code == 2 and "MANYEYES_BROKER_URL" in said.error
