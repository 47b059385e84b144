"""Whatever the broker does, a command that somebody waits for says within 10 s what it is, and Ctrl-C ends it."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest
import redis

from common.redaction import redact
from tests.acceptance import mutes
from tests.acceptance.brokers import Forgetful, free_port
from tests.acceptance.commands import BIN, environment, finish, only_run, producer, start
from tests.acceptance.workers import a_worker
from tests.failure import poison
from tests.waiting import wait_until

#: Seconds. What the issue of hung brokers asks for.
LIMIT_S = 10
Kind = Callable[[Path], AbstractContextManager[str]]

ENDING = {
    "doctor": ("producer", "doctor", "photos"),
    "workers": ("producer", "workers"),
    "detectors": ("producer", "detectors"),
    "status": ("producer", "status", "20261127-101010"),
    "watch": ("producer", "watch", "20261127-101010"),
    "health": ("worker", "health"),
}
WAITING = {
    "submit": ("producer", "submit", "photos"),
    "wait": ("producer", "submit", "photos", "--wait", "60"),
    "detach": ("producer", "submit", "photos", "--detach"),
    "start": ("worker", "start"),
}
STARTING = ("submit", "detach", "start")
FEW = ("workers", "health", "submit")


class Speaking:
    """A command whose words are read as they come, and when it first spoke of its broker."""

    def __init__(self, words: tuple[str, ...], cwd: Path, **extra: str) -> None:
        self.begun = time.monotonic()
        self.process = subprocess.Popen(
            [BIN / words[0], *words[1:]],
            cwd=cwd,
            env=environment(**extra),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.said = ""
        self.spoke_after: float | None = None
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said += line
            if "broker redis" in line and self.spoke_after is None:
                self.spoke_after = time.monotonic() - self.begun

    def end(self) -> int:
        code = self.process.wait(timeout=60)
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


@contextmanager
def speaking(cwd: Path, url: str, *names: str, **extra: str) -> Iterator[tuple[dict[str, Speaking], float]]:
    """The commands, all at once, and the seconds that one which asks nobody takes beside them on this machine."""
    given = {"MANYEYES_BROKER_URL": url, **extra}
    commands = {name: Speaking({**ENDING, **WAITING}[name], cwd, **given) for name in names}
    idle = Speaking(("producer", "runs"), cwd)
    idle.end()
    try:
        yield commands, time.monotonic() - idle.begun
    finally:
        for command in commands.values():
            command.process.kill()
            command.end()


@contextmanager
def slow_names(_: Path) -> Iterator[str]:
    yield "redis://:secret@slow.invalid:6379/0"


@pytest.fixture
def photos(tmp_path: Path) -> poison.Poisoned:
    return poison.make(tmp_path, 5, [])


@pytest.mark.parametrize(
    ("kind", "names", "words"),
    [
        (mutes.stopped, (*ENDING, *STARTING), "takes connections and does not answer"),
        (mutes.silent_tls, FEW, "takes connections and does not answer"),
        (mutes.full, FEW, "takes no connection"),
        (mutes.dripping, FEW, "takes connections and does not answer"),
        (mutes.loading, FEW, "does its work later: it is loading its data"),
        (slow_names, FEW, "the name server does not say in time"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_line_comes_within_10_s(
    kind: Kind, names: tuple[str, ...], words: str, tmp_path: Path, photos: poison.Poisoned
) -> None:
    # A name server that does not answer, where this machine's cannot be told to be so.
    resolver = tmp_path / "resolver"
    resolver.mkdir()
    (resolver / "sitecustomize.py").write_text(
        "import socket, time\n"
        "known = socket.getaddrinfo\n"
        "def slow(host, *rest, **more):\n"
        "    if host == 'slow.invalid': time.sleep(60)\n"
        "    return known(host, *rest, **more)\n"
        "socket.getaddrinfo = slow\n"
    )
    with kind(tmp_path) as url, speaking(tmp_path, url, *names, PYTHONPATH=str(resolver)) as (commands, idle_s):
        for name, command in commands.items():
            limit_s = LIMIT_S + idle_s
            wait_until(lambda one=command: one.spoke_after, timeout=limit_s, what=f"a word of {name}")  # type: ignore[misc]
            assert command.spoke_after is not None and command.spoke_after < limit_s, (name, command.said)
            assert words in command.said and "secret" not in command.said, (name, command.said)
            if name in ENDING:
                assert command.end() == 1, command.said
            else:
                assert "waiting up to 1" in command.said, command.said
                command.process.send_signal(signal.SIGINT)
                assert command.end() == 130, command.said
            assert "Traceback" not in command.said, command.said


@pytest.mark.parametrize("asked", [4, 8])
def test_a_broker_that_hangs_in_the_middle(asked: int, tmp_path: Path, photos: poison.Poisoned) -> None:
    """After so many commands of the wire on each connection: some of those are its greeting."""
    with ExitStack() as stack:
        server = stack.enter_context(mutes.a_server(tmp_path))
        url = stack.enter_context(mutes.stalling(server.url, asked))
        commands, idle_s = stack.enter_context(speaking(tmp_path, url, "doctor", "wait"))
        for name, words in (("doctor", "does not answer"), ("wait", "waiting up to 120 s: broker redis")):
            command = commands[name]
            wait_until(lambda: words in command.said, timeout=LIMIT_S + idle_s, what=f"a word of {name}")  # noqa: B023
        assert commands["doctor"].end() == 1


def test_a_url_that_leads_nowhere_is_an_error_at_once_unless_it_is_waited_for(
    tmp_path: Path, photos: poison.Poisoned
) -> None:
    url = f"redis://127.0.0.1:{free_port()}/0"
    with speaking(tmp_path, url, "submit") as (commands, _):
        assert commands["submit"].end() == 1 and "refused; is it running" in commands["submit"].said
    assert not list((tmp_path / "runs").glob("*")), "nothing of a run that did not begin"
    unknown = producer("submit", "photos", cwd=tmp_path, MANYEYES_BROKER_URL="redis://no-such-name.invalid:6379/0")
    assert unknown.code == 1 and "no address is known for no-such-name.invalid" in unknown.error
    waiting = Speaking(("producer", "submit", "photos", "--wait", "60"), tmp_path, MANYEYES_BROKER_URL=url)
    wait_until(lambda: "waiting up to 60 s: broker" in waiting.said, what="its word")
    waiting.process.send_signal(signal.SIGINT)
    assert waiting.end() == 130, waiting.said


@pytest.fixture
def working(
    tmp_path: Path, photos: poison.Poisoned, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Forgetful, poison.Poisoned]]:
    """A broker and a worker, and the environment of both."""
    with mutes.a_server(tmp_path) as server:
        for name, value in {**photos.environment, "MANYEYES_BROKER_URL": server.url}.items():
            monkeypatch.setenv(name, value)
        with a_worker(["worker", "start", "--detector", "poisonable", "-c", "1"], tmp_path, server.url):
            yield server, photos


SUBMIT = ("producer", "submit", "photos", "--detector", "poisonable", "--json")


@contextmanager
def hanging(server: Forgetful) -> Iterator[None]:
    server.stop()
    try:
        yield
    finally:
        server.go_on()


def test_what_was_waiting_goes_on_when_the_broker_does(
    working: tuple[Forgetful, poison.Poisoned], tmp_path: Path
) -> None:
    server, photos = working
    with hanging(server):
        run = Speaking(SUBMIT, tmp_path)
        wait_until(lambda: "waiting up to 120 s: broker" in run.said, what="its word")
    assert run.end() == 0 and '"ok": 5' in run.said, run.said
    photos.pace(5)
    run = Speaking(SUBMIT, tmp_path)
    wait_until(lambda: "running" in producer("status", cwd=tmp_path).out, what="a run")
    with hanging(server):
        pause = Speaking(("producer", "pause"), tmp_path)
        cancel = Speaking(("producer", "cancel"), tmp_path)
        for one in (pause, cancel):
            wait_until(lambda: "waiting up to" in one.said, timeout=3 * LIMIT_S, what="its word")  # noqa: B023
    assert cancel.end() == 0 and "cancelled" in cancel.said, cancel.said
    # Whichever its producer saw first.
    assert pause.end() == 0, pause.said
    assert run.end() == 5, run.said


def test_a_run_without_an_owner_is_not_cancelled_by_halves(
    working: tuple[Forgetful, poison.Poisoned], tmp_path: Path
) -> None:
    server, photos = working
    photos.pace(60)
    owner = start(*SUBMIT, cwd=tmp_path)
    wait_until(lambda: list((tmp_path / "runs").glob("*/progress.json")), what="a run")
    owner.kill()
    finish(owner)
    with hanging(server):
        cancel = Speaking(("producer", "cancel"), tmp_path)
        wait_until(lambda: "does not answer" in cancel.said, timeout=2 * LIMIT_S, what="its word")
        assert cancel.end() == 1, cancel.said
        status = producer("status", "--json", cwd=tmp_path)
        assert status.code == 0 and status.json["state"] == "interrupted"
        assert not (only_run(tmp_path) / "cancel").exists()
    assert "cancelled" in producer("cancel", cwd=tmp_path).out


def test_during_a_failover_nobody_says_that_no_worker_is_there(tmp_path: Path, photos: poison.Poisoned) -> None:
    """A replica takes no heartbeats: who lives cannot be seen."""
    words = "read-only replica for now"
    with mutes.a_server(tmp_path) as server, redis.Redis.from_url(server.url) as client:
        client.replicaof("127.0.0.1", free_port())
        with speaking(tmp_path, server.url, "workers", "health", "submit") as (commands, _):
            for name in ("workers", "health"):
                assert commands[name].end() == 1 and words in commands[name].said, commands[name].said
            waits = commands["submit"]
            wait_until(lambda: f"waiting up to 120 s: broker {redact(server.url)}" in waits.said, what="its word")
            assert words in waits.said, waits.said
            client.replicaof("NO", "ONE")
            wait_until(lambda: "the broker answers" in waits.said, what="the end of the failover")


def test_a_producer_that_waits_for_its_broker_is_said_to_be_silent(
    working: tuple[Forgetful, poison.Poisoned], tmp_path: Path
) -> None:
    server, photos = working
    photos.pace(5)
    run = start(*SUBMIT, cwd=tmp_path)
    wait_until(lambda: list((tmp_path / "runs").glob("*/progress.json")), what="a run")
    with hanging(server):
        line = lambda: producer("status", "--json", cwd=tmp_path).json  # noqa: E731
        seen = wait_until(lambda: (now := line())["silent_s"] and now, what="a word of its silence")
        assert seen["eta_s"] is None and seen["images_per_s"] is None
        assert "nothing new for" in producer("status", cwd=tmp_path).out
    run.send_signal(signal.SIGINT)
    assert finish(run).code == 130
