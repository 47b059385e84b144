"""What is no broker and never will be: each command ends soon, with one line that says what to name instead."""

from __future__ import annotations

import gc
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from common.broker import wrong_server
from common.broker.asking import ask
from common.broker.connect import connect
from common.errors import BrokerAway, BrokerError, UsageError, line_of
from producer.cluster import valkey
from tests.acceptance.brokers import free_port
from tests.acceptance.commands import finish, start
from tests.waiting import wait_until

#: Seconds, on a busy machine: Python's own start is most of it.
SOON_S = 10.0
CLUSTER = "is a Redis Cluster, where keys lie on several servers: use a single server"
COMMANDS = (
    ("worker", "start", "-c", "1"),
    ("celery", "-A", "worker.app", "worker", "-c", "1"),
    ("producer", "submit", "photos"),
    ("producer", "doctor"),
    ("producer", "workers"),
    ("producer", "monitor", "--listen", "127.0.0.1:0"),
    ("celery", "-A", "worker.app", "flower"),
    ("worker", "health"),
)


@contextmanager
def a_server(folder: Path, *lines: str) -> Iterator[str]:
    """A Valkey with these lines more in its configuration; its URL, without a database."""
    port = free_port()
    text = valkey.volatile("127.0.0.1", port, [], folder) + "\n".join([*lines, ""]).encode()
    server = valkey.spawn(valkey.server_path(), text, folder / "valkey.log")
    try:
        wait_until(lambda: _listens(port), timeout=20, what="the server")
        yield f"redis://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


def _listens(port: int) -> bool:
    try:
        with redis.Redis(port=port, protocol=2) as client:
            return bool(client.ping())
    except redis.ResponseError:
        return True
    except redis.RedisError:
        return False


@contextmanager
def a_talker(first: bytes, answer: bytes | Callable[[bytes], bytes]) -> Iterator[str]:
    """Something else on a port: what it says to whoever comes, and to whatever is said, or to each of what is said."""

    class Talk(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(first)
            asked = self.request.recv(1 << 10)
            while callable(answer) and asked:
                self.request.sendall(answer(asked))
                asked = self.request.recv(1 << 10)
            if not callable(answer):
                self.request.sendall(answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Talk) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield f"redis://127.0.0.1:{server.server_address[1]}/0"
        server.shutdown()
        thread.join()


def why(url: str) -> str:
    with pytest.raises(UsageError) as caught:
        connect(url).close()
    return str(caught.value)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_each_command_ends_with_the_sentence(command: tuple[str, ...], tmp_path: Path) -> None:
    """A Cluster that owns all of its slots: each single key works there, until a script names two."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"no photo")
    with (
        a_server(tmp_path, "cluster-enabled yes", f"cluster-port {free_port()}") as cluster,
        a_server(tmp_path, "databases 4") as small,
    ):
        with redis.Redis.from_url(cluster) as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        for url, sentence in ((f"{cluster}/0", CLUSTER), (f"{small}/99", "has no database of the number")):
            begun = time.monotonic()
            said = finish(start(*command, cwd=tmp_path, MANYEYES_BROKER_URL=url))
            took, words = time.monotonic() - begun, said.out + said.err
            assert took < SOON_S
            assert "Traceback" not in words
            [line] = [line for line in words.splitlines() if url in line]
            assert sentence in line
            assert said.code == (1 if command[1] == "doctor" else 2), words


def test_a_server_that_does_not_know_what_every_redis_knows(tmp_path: Path) -> None:
    """Redis 5, and proxies."""
    with a_server(tmp_path, 'rename-command HELLO ""') as url:
        assert "does not know the command HELLO" in why(f"{url}/0")
    with a_server(tmp_path, 'rename-command EVALSHA ""') as url, connect(f"{url}/0") as client:
        with pytest.raises(redis.ResponseError) as caught:
            client.evalsha("0" * 40, 1, "secret-key")
        line = line_of(caught.value) or ""
        assert line.startswith("the broker does not know the command EVALSHA: ") and "secret" not in line


@pytest.mark.parametrize(
    ("first", "answer", "shown"),
    [
        (b"", b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n", "'HTTP/1.1 400 Bad Request'"),
        (b"", b"<!DOCTYPE HTML>\n<html>", "'<!DOCTYPE HTML>'"),
        (b"", b"ERROR\r\n", "'ERROR'"),
        (b"SSH-2.0-x\x1b[2J\r\n", b"", r"'SSH-2.0-x\x1b[2J'"),
        (b"J\0\0\0\n8.0.36\0", b"", r"'J\x00\x00\x00'"),
    ],
)
def test_what_is_no_redis_is_named_by_its_answer(first: bytes, answer: bytes, shown: str) -> None:
    with a_talker(first, answer) as url:
        assert f"is no Redis: it answers {shown}; name the host and port of one" in why(url)


def test_a_client_that_is_closed_leaves_no_connection(tmp_path: Path) -> None:
    """Not even until Python collects what refers to itself."""
    with a_server(tmp_path) as url, redis.Redis.from_url(url) as watcher:

        def connections() -> int:
            return len(watcher.client_list())

        before = connections()
        gc.disable()
        try:
            for _ in range(5):
                connect(f"{url}/0").close()
                ask(f"{url}/0", lambda client: client.ping())
            wait_until(lambda: connections() == before, timeout=5, what="the end of all connections")
        finally:
            gc.enable()


@pytest.mark.parametrize(
    ("version", "wrong"), [("9.0-rc1", False), ("6.2.14", False), ("6.0.16", True), ("5.0.7", True), ("", False)]
)
def test_a_version_may_be_of_any_form(version: str, wrong: bool) -> None:
    assert ("which is too old" in (wrong_server.of_facts({"version": version}) or "")) is wrong


def test_a_redis_whose_hello_wants_a_version_of_the_protocol_is_too_old() -> None:
    """6.0, in its own words."""
    replies = {
        b"PING": b"+PONG\r\n",
        b"HELLO\r\n$1": b"%1\r\n+proto\r\n:3\r\n",
        b"HELLO": b"-ERR wrong number of arguments for 'hello' command\r\n",
        b"CLIENT": b"-ERR unknown subcommand\r\n",
    }
    with a_talker(b"", lambda asked: next((replies[word] for word in replies if word in asked), b"")) as url:
        assert "is Redis 6.0, which is too old: use Redis 7" in why(url)


def test_a_server_that_refuses_has_answered(tmp_path: Path) -> None:
    with a_server(tmp_path, "maxclients 1") as url, redis.Redis.from_url(url) as first:
        first.ping()
        with pytest.raises(BrokerAway, match="takes no more clients now: max number of clients reached") as away:
            connect(f"{url}/0")
        assert not away.value.mistakable
    with a_talker(b"-DENIED Redis is running in protected mode because...\r\n", b"") as url:
        with pytest.raises(BrokerError, match="is in protected mode") as refused:
            connect(url)
        assert not isinstance(refused.value, BrokerAway)


def test_a_sentinel_names_no_keys(tmp_path: Path) -> None:
    port = free_port()
    configuration = tmp_path / "sentinel.conf"
    configuration.write_text(f"port {port}\nbind 127.0.0.1\ndir {tmp_path}\n")
    server = start(str(valkey.server_path()), configuration, "--sentinel", cwd=tmp_path)
    try:
        wait_until(lambda: _listens(port), timeout=20, what="the Sentinel")
        assert "is a Sentinel, which keeps nothing itself" in why(f"redis://127.0.0.1:{port}/0")
    finally:
        server.kill()
        server.communicate()
