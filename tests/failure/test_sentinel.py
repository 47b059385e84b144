"""A master that is killed under a run: Sentinels promote its replica, and nobody has to do anything."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import redis

from common.broker.connect import celery_app, connect, sibling, unhurried
from common.broker.sentinel import Sentinels, like, parse
from common.protocol import heartbeats
from tests.acceptance.brokers import free_port
from tests.acceptance.commands import Said, finish, producer, start
from tests.acceptance.workers import a_worker
from tests.sentinels import NAME, PASSWORD, SENTINELS_PASSWORD, Watched, sentinels
from tests.waiting import wait_until

IMAGES = 24
#: What must be the same bytes whatever happened on the way.
TABLES = ("images.parquet", "detections.parquet")
PLAIN = ["celery", "-A", "worker.app", "worker", "-c", "1", "--without-mingle", "--without-gossip"]


@pytest.mark.timeout(200)
def test_a_run_goes_on_at_the_master_that_sentinels_promote(tmp_path: Path) -> None:
    photos(tmp_path / "photos")
    (tmp_path / "plain").mkdir()
    with sentinels(tmp_path) as watched:
        url = watched.url
        (tmp_path / "url").write_text(url)
        join = ["worker", "start", "-c", "1", "--join", "url"]
        with (
            a_worker(join, tmp_path, url, MANYEYES_BROKER_URL="") as joined,
            a_worker(PLAIN, tmp_path / "plain", url, 2, MANYEYES_ROOTS=str(tmp_path)) as plain,
            connect(url) as client,
            celery_app(url) as app,
        ):
            before = processes(client)
            said = [submit(tmp_path, url, "quiet"), submit(tmp_path, url, "failed-over", watched)]
            for one in said:
                assert one.code == 0, one.err
            for table in TABLES:
                quiet, failed_over = (tmp_path / one.json["run_dir"] / table for one in said)
                assert quiet.read_bytes() == failed_over.read_bytes()
            assert "the broker was restarted, or a replica promoted; what it has lost is sent again" in said[1].err
            assert joined.poll() is None and plain.poll() is None
            wait_until(lambda: processes(client) == before, what="the heartbeats of the same processes")
            wait_until(lambda: len(app.control.ping(timeout=2)) == 2, what="both workers' answers to Celery")
            (tmp_path / "url").write_text(url)
            said.append(producer("doctor", "--json", cwd=tmp_path, MANYEYES_BROKER_URL=str(tmp_path / "url")))
    found = [one["words"] for one in json.loads(said[-1].out) if one["part"] == "sentinel"]
    [new] = [port for port in watched.servers if port != watched.first]
    assert f"{NAME} is 127.0.0.1:{new}, say 2 of 3 Sentinels" in found and "the master has no replica now" in found
    assert any("does not answer" in words for words in found)
    words = "".join(log.read_text() for log in tmp_path.rglob("worker.log")) + "".join(
        one.out + one.err for one in said
    )
    assert "sentinel://***@" in words
    assert not [secret for secret in (PASSWORD, SENTINELS_PASSWORD) if f":{secret}" in words or f"={secret}" in words]


def test_a_client_of_a_master_that_hangs_goes_to_the_new_one(tmp_path: Path) -> None:
    with sentinels(tmp_path, count=1) as watched, connect(watched.url) as client:
        [other] = [port for port in watched.servers if port != watched.first]
        with sibling(client, other) as replica, unhurried(client, 1) as same:
            assert (port_of(same), port_of(replica)) == (watched.first, other)
        asking = Sentinels(parse(watched.url.replace("127.0.0.1", f"127.0.0.1:{free_port()},127.0.0.1")))
        as_named = tuple(being_asked := asking.sentinels)
        assert asking.discover_master(NAME) == ("127.0.0.1", watched.first)
        assert asking.sentinels == [*reversed(as_named)], "who has answered is asked first"
        assert being_asked == [*as_named], "another thread may be going through it"
        pool: Any = client.connection_pool
        with redis.Redis.from_pool(like(pool, {"socket_timeout": 0.5})) as hurried:
            assert port_of(hurried) == watched.first
            watched.servers[watched.first].send_signal(signal.SIGSTOP)
            wait_until(lambda: watched.master == other, what="the replica's promotion")
            # What has timed out is its user's to ask again, by a new connection.
            with pytest.raises(redis.TimeoutError):
                port_of(hurried)
            assert port_of(hurried) == other
        renewed = redis.UsernamePasswordCredentialProvider("default", PASSWORD)
        old = parse(watched.url.replace(f":{PASSWORD}@", ":old@"))
        with redis.Redis.from_pool(old.pool(credential_provider=renewed)) as other_login:
            assert port_of(other_login) == other
        wrong = watched.url.replace(SENTINELS_PASSWORD, "guess")
        said = producer("workers", cwd=tmp_path, MANYEYES_BROKER_URL=wrong)
        assert said.code == 1 and "wants another login: sentinel_username and sentinel_password" in said.error
        assert "guess" not in said.err
        said = producer("workers", cwd=tmp_path, MANYEYES_BROKER_URL=watched.url.replace(NAME, "other"))
        assert said.code == 1 and "no Sentinel names a master 'other' now" in said.error
        assert f"knows '{NAME}'" in said.error


def test_plain_celery_refuses_a_wrong_url_in_one_line(tmp_path: Path) -> None:
    said = finish(start(*PLAIN, cwd=tmp_path, MANYEYES_BROKER_URL="sentinel://a/0?ssl_ca_certs=ca.pem"))
    assert said.code == 2 and "asks for TLS (ssl_ca_certs), which is not supported with Sentinel" in said.error
    assert "Traceback" not in said.err


def port_of(client: redis.Redis) -> int:
    info: dict[str, Any] = client.info("server")  # type: ignore[assignment]
    return int(info["tcp_port"])


def photos(folder: Path) -> None:
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(IMAGES):
        image = cv2.resize(random.integers(0, 256, (60, 80, 3), np.uint8), (640, 480))
        (folder / f"{number:03d}.jpg").write_bytes(cv2.imencode(".jpg", image)[1].tobytes())


def processes(client: redis.Redis) -> set[tuple[str, int]]:
    return {(beat.worker, beat.pid) for beat in heartbeats.live_processes(client)}


def submit(folder: Path, url: str, output: str, to_kill: Watched | None = None) -> Said:
    """`to_kill`: in the run's middle, the master and the Sentinel that the URL names first."""
    run = start("producer", "submit", "photos", "--json", "--output", output, cwd=folder, MANYEYES_BROKER_URL=url)
    if to_kill is not None:
        journals = folder / output
        wait_until(
            lambda: run.poll() is not None or any(one.stat().st_size for one in journals.glob("*/journal.bin")),
            what="the run's first result",
        )
        for process in (to_kill.servers[to_kill.first], next(iter(to_kill.sentinels.values()))):
            process.kill()
            process.wait()
    return finish(run)
