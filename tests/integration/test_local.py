"""The embedded broker and its worker: they work, they say what went wrong, and nothing of them outlives the owner."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from common.broker.connect import celery_app, connect
from common.errors import BrokerError, ManyeyesError, UsageError
from producer.cluster import valkey
from producer.cluster.embedded import LocalCluster
from tests.integration.owning import ENVIRONMENT, ROOT, WORKER_COMMAND
from tests.waiting import wait_until

#: Seconds. What "within a few seconds" means on a machine that is busy with other things.
SOON_S = 30.0


@pytest.fixture
def temporary(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A short TMPDIR of the test's own, with a name that has to be quoted, and empty at the end."""
    with tempfile.TemporaryDirectory(prefix="a b%20?#") as name:
        monkeypatch.setenv("TMPDIR", name)
        monkeypatch.setattr(tempfile, "tempdir", None)
        yield Path(name)
        assert list(Path(name).iterdir()) == []


def start_python(code: str, logs: Path) -> LocalCluster:
    """A cluster whose worker is a few lines of Python."""
    return LocalCluster.start(worker_command=[sys.executable, "-c", code], environment={}, log_folder=logs)


def session(leader: int) -> list[psutil.Process]:
    """All processes of the supervisor's session, itself included; the dead that nobody has reaped aside."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def make_busy(url: str, folder: Path, busy: bool = True) -> list[int]:
    """Send a task to each pool process; return their pids once both are at it."""
    folder.mkdir()
    app = celery_app(url)
    # One at a time to each: with prefetch 1 a busy process takes no second one.
    for _ in range(2):
        app.send_task("sign", (str(folder), busy))
    wait_until(lambda: len(list(folder.iterdir())) >= (2 if busy else 1), what="pool processes at work")
    return [int(path.name) for path in folder.iterdir()]


def test_a_real_worker_takes_tasks_through_the_socket(tmp_path: Path, temporary: Path) -> None:
    """And the password is nowhere to be seen, the folder is private, and all of it goes."""
    logs = tmp_path / "logs"
    with LocalCluster.start(worker_command=WORKER_COMMAND, environment=ENVIRONMENT, log_folder=logs) as cluster:
        (folder,) = temporary.iterdir()
        assert folder.stat().st_mode & 0o777 == 0o700
        with connect(cluster.broker_url) as client:
            settings = client.config_get("maxmemory-policy", "port", "save", "appendonly")
        # Text from redis-py 8 on, bytes before.
        assert settings == {"maxmemory-policy": "noeviction", "port": "0", "save": "", "appendonly": "no"}
        pids = make_busy(cluster.broker_url, tmp_path / "signed", busy=False)
        processes = session(cluster.supervisor_pid)
        assert {cluster.supervisor_pid, cluster.broker_pid, cluster.worker_pid, *pids} <= {p.pid for p in processes}
        password = cluster.broker_url.split(":")[2].split("@")[0]
        assert not [p for p in processes if password in " ".join(p.cmdline())]
        cluster.check()
    assert session(cluster.supervisor_pid) == []
    assert not folder.exists()
    assert "ready" in (logs / "worker.log").read_text()
    assert "Ready to accept connections" in (logs / "broker.log").read_text()
    assert password not in (logs / "worker.log").read_text() + (logs / "broker.log").read_text()


def test_the_broker_wants_the_password(tmp_path: Path) -> None:
    with start_python("import signal; signal.pause()", tmp_path) as cluster:
        password = cluster.broker_url.split(":")[2].split("@")[0]
        with pytest.raises(BrokerError, match="wants another user or password"):
            connect(cluster.broker_url.replace(password, "guess"))


@dataclass(frozen=True)
class Owned:
    """An owner's process, and the pids and the URL that it told."""

    process: subprocess.Popen[str]
    pids: dict[str, int]
    url: str

    def kill(self, who: str, number: signal.Signals = signal.SIGKILL) -> None:
        os.kill(self.pids[who], number)


@pytest.fixture
def owned(tmp_path: Path, temporary: Path) -> Iterator[Owned]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.integration.owning", str(tmp_path / "logs")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        start_new_session=True,
    )
    with process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        url = told.pop("url")
        yield Owned(process, told, url)
        process.kill()


@pytest.mark.parametrize(
    ("who", "number"),
    [
        ("owner", signal.SIGKILL),
        ("owner", signal.SIGTERM),
        ("owner", signal.SIGINT),
        ("supervisor", signal.SIGKILL),
        ("supervisor", signal.SIGTERM),
        ("worker", signal.SIGKILL),
        ("broker", signal.SIGKILL),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_nothing_survives(owned: Owned, tmp_path: Path, temporary: Path, who: str, number: signal.Signals) -> None:
    """Given busy pool processes that ignore TERM, when one of the family is ended, then soon all have."""
    make_busy(owned.url, tmp_path / "signed")
    owned.kill(who, number)
    wait_until(lambda: not session(owned.pids["supervisor"]), SOON_S, "the end of all processes")
    owned.process.wait(SOON_S)
    assert list(temporary.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="needs the kernel's parent-death signal")
def test_no_process_survives_owner_and_supervisor_killed_at_once(owned: Owned, tmp_path: Path, temporary: Path) -> None:
    """The folder does: there is nobody left to remove it."""
    make_busy(owned.url, tmp_path / "signed")
    owned.kill("owner", signal.SIGSTOP)
    owned.kill("supervisor")
    wait_until(lambda: not session(owned.pids["supervisor"]), SOON_S, "the end of all processes")
    owned.kill("owner")
    owned.process.wait()
    (folder,) = temporary.iterdir()
    shutil.rmtree(folder)


def test_a_worker_that_says_why_it_ends_is_quoted(tmp_path: Path, temporary: Path) -> None:
    (tmp_path / "worker.log").write_text("error: of an earlier run\n")
    code = "import sys; print('error: model x.onnx is empty', file=sys.stderr); sys.exit(2)"
    with start_python(code, tmp_path) as cluster:
        with pytest.raises(UsageError, match=r"^local worker: model x.onnx is empty \(exit code 2\)$"):
            check_until_it_raises(cluster)
        # It is said again, not forgotten.
        with pytest.raises(UsageError):
            cluster.check()


@pytest.mark.parametrize(
    ("code", "how"),
    [
        ("raise SystemExit(1)", r"without a word; its log is .*worker.log \(exit code 1\)"),
        ("import os; os.kill(os.getpid(), 9)", r"killed by SIGKILL"),
        ("print('[WARNING/Pool-1] error: no memory')", r"local worker: no memory \(exit code 0\)"),
    ],
)
def test_a_worker_that_ends_is_noticed(tmp_path: Path, temporary: Path, code: str, how: str) -> None:
    (tmp_path / "worker.log").write_text("error: of an earlier run\n")
    with start_python(code, tmp_path) as cluster, pytest.raises(ManyeyesError, match=how):
        check_until_it_raises(cluster)


@pytest.mark.parametrize(
    ("who", "says"),
    [("broker_pid", r"embedded broker ended \(killed by SIGKILL\)"), ("supervisor_pid", "supervisor has ended")],
)
def test_a_broker_or_supervisor_that_ends_is_noticed(tmp_path: Path, temporary: Path, who: str, says: str) -> None:
    with start_python("import signal; signal.pause()", tmp_path) as cluster:
        os.kill(getattr(cluster, who), signal.SIGKILL)
        with pytest.raises(BrokerError, match=says):
            check_until_it_raises(cluster)


def check_until_it_raises(cluster: LocalCluster) -> None:
    wait_until(cluster.check, what="a complaint of check()")


def test_a_command_that_does_not_exist_is_an_error_of_start(tmp_path: Path, temporary: Path) -> None:
    with pytest.raises(BrokerError, match="no-such-command"):
        LocalCluster.start(worker_command=["no-such-command"], environment={}, log_folder=tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="needs the kernel's subreaper")
def test_a_grandchild_that_left_the_group_is_found(tmp_path: Path, temporary: Path) -> None:
    """A stubborn worker, whose child has a session of its own, and a child too."""
    code = """if True:
        import os, pathlib, signal, subprocess, sys
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen(["sh", "-c", "sleep 1000 & echo $! $$ > pids.new; mv pids.new pids; wait"],
                                 cwd=sys.argv[1], start_new_session=True)
        signal.pause()"""
    with LocalCluster.start(
        worker_command=[sys.executable, "-c", code, str(tmp_path)], environment={}, log_folder=tmp_path
    ):
        wait_until((tmp_path / "pids").exists, what="the grandchildren's pids")
        pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
        assert all(psutil.pid_exists(pid) for pid in pids)
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_a_long_temporary_folder_is_left_for_a_short_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    address = valkey.Address.new()
    assert address.folder.parent == Path("/tmp")
    with start_python("import signal; signal.pause()", tmp_path) as cluster, connect(cluster.broker_url) as client:
        assert client.ping()


def test_the_suite_fails_for_a_forgotten_process(tmp_path: Path) -> None:
    """The check of conftest.py itself."""
    (tmp_path / "test_it.py").write_text(
        "import subprocess\ndef test_it():\n    subprocess.Popen(['sleep', '1234'], start_new_session=True)\n"
    )
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.conftest", "--rootdir", str(tmp_path), str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == pytest.ExitCode.TESTS_FAILED, result.stdout + result.stderr
    assert "left a process behind" in result.stdout and "sleep 1234" in result.stdout


def test_the_suite_may_be_started_with_signals_ignored(tmp_path: Path) -> None:
    """As a script's `&` and nohup do: what the tests start must still end at Ctrl-C."""
    (tmp_path / "test_it.py").write_text(
        "import signal, subprocess\n"
        "def test_it():\n"
        "    child = subprocess.Popen(['sleep', '1234'])\n"
        "    child.send_signal(signal.SIGINT)\n"
        "    assert child.wait(timeout=10) == -signal.SIGINT\n"
    )
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "--rootdir", str(tmp_path), str(tmp_path)]
    ignoring = ["sh", "-c", "trap '' INT HUP; exec \"$@\"", "sh", *command]
    result = subprocess.run(ignoring, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == pytest.ExitCode.OK, result.stdout + result.stderr
