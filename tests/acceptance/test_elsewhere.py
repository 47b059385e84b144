"""A run that was submitted in one folder, and is paused, cancelled and verified from another."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from common.broker.connect import connect
from common.protocol.ledger import run_key
from common.redaction import redact
from producer.run import locate
from producer.scheduler import run_stats
from tests.acceptance.brokers import Forgetful, free_port
from tests.acceptance.commands import Said, finish, only_run, producer, start
from tests.acceptance.workers import a_worker
from tests.failure import poison
from tests.integration.test_figures import said as words_of_an_owner
from tests.waiting import wait_until

RUN = "20261121-105500-abcdefgh"


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """Where nobody has submitted anything."""
    (tmp_path / "there").mkdir()
    return tmp_path / "there"


def told(client: redis.Redis, folder: Path | str, host: str) -> None:
    """What an owner on that host would have written."""
    run_stats.write(client, replace(words_of_an_owner(RUN, said=float(client.time()[0])), host=host))
    client.hset(run_key(RUN), "dir", str(folder))


def begun(folder: Path) -> Path:
    """A directory of a run, as far as a look at it goes."""
    folder.mkdir(parents=True)
    (folder / "run.json").write_text("{}")
    return folder


def refused(there: Path, url: str, verb: str = "resume") -> str:
    said = producer(verb, RUN[:13], cwd=there, MANYEYES_BROKER_URL=url)
    assert said.code == 2, said.err
    return said.error


def test_every_command_finds_the_folder_of_a_run_of_this_machine(tmp_path: Path, redis_url: str, there: Path) -> None:
    made = poison.make(tmp_path, 200, [], pace_s=0.3)
    url = {"MANYEYES_BROKER_URL": redis_url}

    def at(verb: str, *options: object) -> Said:
        return producer(verb, run.name[:-3], *options, cwd=there, **url)

    with a_worker(["worker", "start", "--detector", "poisonable", "-c", "1"], tmp_path, redis_url, **made.environment):
        owner = start("producer", "submit", "photos", "--detector", "poisonable", cwd=tmp_path, **url)
        with connect(redis_url) as client:
            wait_until(lambda: run_stats.all_runs(client), what="the owner's first words")
        run = only_run(tmp_path)
        paused = at("pause")
        assert paused.out.strip() == f"{run.name}: paused; to go on:  producer unpause {run}", paused.err
        assert at("unpause").out.strip() == f"{run.name}: running"
        owner.send_signal(signal.SIGINT)
        assert finish(owner).code == 130
        again = start("producer", "resume", run.name[:-3], cwd=there, **url)
        wait_until(lambda: at("status").out.startswith(f"{run.name}: running"), what="the second owner")
        cancelled = at("cancel")
        assert cancelled.code == 0 and "cancelled" in cancelled.out, cancelled.err
        assert finish(again).code == 5
    receipt = at("verify")
    assert receipt.code == 5 and f"run {run.name}: the receipt" in receipt.err and "the run is cancelled" in receipt.err
    exported = at("results", "--format", "jsonl")
    assert exported.code == 0 and Path(exported.out.strip()).parent == run, exported.err
    assert not (there / "runs").exists()
    without = producer("verify", run.name, cwd=there)
    assert without.code == 2 and "no runs in runs" in without.error
    # The broker's last run may be anybody's.
    assert "no runs in runs" in producer("cancel", cwd=there, **url).error


def test_a_run_of_another_machine_is_named_with_the_command_that_works_there(
    client: redis.Redis, redis_url: str, there: Path
) -> None:
    told(client, f"/data/my runs/{RUN}", "alpha")
    for verb in ("resume", "cancel", "pause", "unpause", "verify", "results"):
        command = f"producer {verb} {shlex.quote(f'/data/my runs/{RUN}')}"
        assert (
            refused(there, redis_url, verb) == f"run {RUN} is of alpha, in /data/my runs/{RUN}: run it there: {command}"
        )
    told(client, f"/data/runs/{RUN}", socket.gethostname())
    assert refused(there, redis_url) == (
        f"run {RUN} was in /data/runs/{RUN}, and is not there any more: submit the dataset again"
    )


def test_a_word_on_the_broker_leads_into_no_other_run_and_to_nobody_else(tmp_path: Path) -> None:
    ours = begun(tmp_path / RUN)
    assert locate._is_ours(ours, RUN)
    other = begun(tmp_path / "20261121-105500-zzzzzzzz")
    (tmp_path / "planted").mkdir()
    (tmp_path / "planted" / RUN).symlink_to(other)
    assert not locate._is_ours(other, RUN)
    assert not locate._is_ours(tmp_path / "planted" / RUN, RUN)
    assert not locate._is_ours(Path(os.path.relpath(ours)), RUN)
    assert not locate._is_ours(Path("/a\0b", RUN), RUN)
    linked = tmp_path / "linked" / RUN
    linked.mkdir(parents=True)
    (linked / "run.json").symlink_to(ours / "run.json")
    assert not locate._is_ours(linked, RUN)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a folder to another user")
def test_a_run_of_another_user_is_left_to_them(
    tmp_path: Path, client: redis.Redis, redis_url: str, there: Path
) -> None:
    theirs = begun(tmp_path / RUN)
    os.chown(theirs / "run.json", 12345, 12345)
    assert not locate._is_ours(theirs, RUN)
    os.chown(theirs, 12345, 12345)
    told(client, theirs, socket.gethostname())
    assert refused(there, redis_url) == (
        f"run {RUN} is in {theirs}, which belongs to user id 12345: as that user: producer resume {theirs}"
    )


def test_a_broker_that_cannot_be_asked_is_said_and_not_waited_for(tmp_path: Path, there: Path) -> None:
    broker = Forgetful(tmp_path)
    try:
        os.kill(broker._server.pid, signal.SIGSTOP)
        asked = time.monotonic()
        said = refused(there, broker.url, "pause")
        assert time.monotonic() - asked < 10
        assert "no runs in runs" in said and "takes connections and does not answer" in said
        os.kill(broker._server.pid, signal.SIGCONT)
        for url, why in (
            (broker.url.replace("secret", "hunter2"), "wants another user or password"),
            (f"redis://127.0.0.1:{free_port()}/0", "does not answer"),
            ("redis://:hunter2@[::1/0", "is not a valid URL"),
        ):
            said = refused(there, url, "verify")
            assert "no runs in runs" in said and f"cannot be asked: broker {redact(url)} {why}" in said
    finally:
        broker.end()
