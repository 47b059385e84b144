"""A run's messages taken out of a shared queue on real servers, whoever else's stand between them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from common.broker.connect import PREFIX, celery_app
from common.protocol.ledger import Ledger
from common.protocol.messages import AHEAD, DETECT_TASK, IN_TURN, ShardId, ShardMessage, queue_keys, task_queue
from producer.cluster.acl import Role
from producer.run.withdrawal import withdraw
from tests.guarded import Guarded, guarded, servers

OURS, THEIRS, QUEUE = "20260101-000000-abcdefgh", "20260101-000000-abcdefgi", "hog-12345678"
#: More than one look of the script, and more than it takes out in one step.
MESSAGES = 1500


@pytest.fixture(scope="module", params=servers(), ids=lambda path: path.name)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with guarded(request.param, tmp_path_factory.mktemp("guarded")) as found:
        yield found


def send(server: Guarded, run: str, first: int, count: int, priority: int) -> None:
    with celery_app(server.url(Role.PRODUCER)) as app, app.producer_pool.acquire() as producer:
        for number in range(first, first + count):
            message = ShardMessage(run, ShardId(0, number, 1), 1, "d" * 64)
            options = {"queue": task_queue(QUEUE), "task_id": message.task_id, "priority": priority}
            app.send_task(DETECT_TASK, kwargs=message.to_kwargs(), producer=producer, argsrepr=f"run {OURS}", **options)


def lists(server: Guarded) -> list[list[bytes]]:
    keys = queue_keys(task_queue(QUEUE))
    return [server.admin(server.port).lrange(f"{PREFIX}{key}", 0, -1) for key in keys]


def test_one_run_leaves_and_the_others_messages_keep_their_places(server: Guarded) -> None:
    """Also one that speaks of the other run, in what is shown of it."""
    for first in range(0, MESSAGES, MESSAGES // 3):
        send(server, OURS, first, MESSAGES // 3, IN_TURN)
        send(server, THEIRS, first, 5, IN_TURN)
    send(server, OURS, MESSAGES, 2, AHEAD)
    send(server, THEIRS, MESSAGES, 1, AHEAD)
    theirs = [[message for message in one if f'"{THEIRS}/'.encode() in message] for one in lists(server)]
    assert [len(one) for one in theirs] == [1, 15]
    ours = Ledger(server.client(Role.PRODUCER), OURS)
    assert withdraw(ours, QUEUE) == MESSAGES + 2
    assert lists(server) == theirs
    assert withdraw(ours, QUEUE) == 0 and withdraw(ours, "nobody-12345678") == 0
    assert server.refused() == []


def test_a_login_that_may_not_fails_no_run(server: Guarded, caplog: pytest.LogCaptureFixture) -> None:
    """Whose rights are of an earlier version; and a broker that has gone is no reason either."""
    assert withdraw(Ledger(server.client(Role.MONITOR), OURS), QUEUE) == 0
    assert "stay in the queue until workers take and drop them" in caplog.text
    server.forget()
