"""What every test may ask for: a real broker, clean. And what every test owes: no process is left behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import uuid
from collections.abc import Iterator

import psutil
import pytest
import redis

from common.broker.connect import connect
from producer.cluster import valkey
from worker.pool import local_health

#: In the environment of every process that a test starts, so that the forgotten ones can be found.
MARKER = "MANYEYES_TEST_SUITE"
#: Seconds. A process that was told to end may take this long; others are forgotten ones.
ENDING_S = 2.0
#: What a program that is started in the foreground does with the signals that tests send.
_SIGNALS = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGHUP: signal.SIG_DFL,
    signal.SIGQUIT: signal.SIG_DFL,
    signal.SIGTERM: signal.SIG_DFL,
}


def pytest_configure(config: pytest.Config) -> None:
    # pytest-xdist's processes have the mark of the one that started them.
    if not hasattr(config, "workerinput"):
        os.environ[MARKER] = uuid.uuid4().hex
    # A script's `&` and nohup start the tests with signals ignored, and every child would inherit that.
    for number, usual in _SIGNALS.items():
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)
    # Whoever runs the tests may have a broker of their own: the tests must not find it.
    for name in ("MANYEYES_BROKER_URL", "CELERY_BROKER_URL"):
        os.environ.pop(name, None)


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real Valkey, one for all tests, started as the embedded broker is."""
    address = valkey.Address.new()
    server = valkey.start(valkey.server_path(), address, tmp_path_factory.mktemp("broker") / "broker.log")
    try:
        yield address.url
    finally:
        server.kill()
        server.wait()
        shutil.rmtree(address.folder)


@pytest.fixture
def redis_url(broker: str) -> str:
    """The same, and nothing in it."""
    with connect(broker) as client:
        client.flushall()
    return broker


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    """Connected to it."""
    with connect(redis_url) as client:
        yield client


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the suite for processes that outlived it, after the fixtures' own ending."""
    if hasattr(session.config, "workerinput"):
        return  # pytest-xdist's process: the one that started it looks, when all have ended
    # Of workers that tests have killed.
    local_health.sweep()
    with contextlib.suppress(OSError):
        local_health.folder().rmdir()
    _, left = psutil.wait_procs(_started_by_tests(), timeout=ENDING_S)
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            command = " ".join(process.cmdline()) or process.name()
            print(f"\nERROR: the tests left a process behind: {process.pid} {command}")
            process.kill()
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _started_by_tests() -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(MARKER) == os.environ[MARKER]:
                found.append(process)
    return found
