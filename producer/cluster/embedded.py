"""A worker's command in, an embedded broker with that worker out: what `submit` uses where nothing is configured."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from common import logs, os_errors
from common.errors import BrokerError, ExitCode, ManyeyesError, UsageError
from producer.cluster import valkey
from producer.cluster.log_tail import Log
from producer.cluster.process_group import KILL_S, ending, isolated
from producer.cluster.supervisor import Plan

#: Seconds. More than the supervisor allows the broker, so that its own words are heard first.
START_S = valkey.START_S + 5.0
#: Seconds. More than the supervisor takes, however stubborn a process is; commonly 0.03.
STOP_S = KILL_S + 3.0


class LocalCluster:
    """An embedded broker and a worker that live until `stop`, or until the process that started them ends.

    That process is the owner: start it where the run's owner lives, and don't fork from there afterwards (a
    subprocess is fine), for a fork would keep the pipe to the supervisor open. One thread uses it.
    """

    def __init__(self, supervisor: subprocess.Popen[bytes], address: valkey.Address, log_folder: Path) -> None:
        self._supervisor = supervisor
        self._address = address
        self._log = Log.from_here(log_folder / "worker.log")
        self._unread = b""
        self._failure: ManyeyesError | None = None
        #: A URL for kombu and for `common.broker.connect.connect`, with the password in it.
        self.broker_url = address.url
        self.supervisor_pid = supervisor.pid
        self.broker_pid = 0
        self.worker_pid = 0

    @classmethod
    def start(cls, *, worker_command: Sequence[str], environment: Mapping[str, str], log_folder: Path) -> LocalCluster:
        """Return once the broker answers and the worker's process is started; it is not yet ready to work.

        `environment` is added to this process's own, with MANYEYES_BROKER_URL and a TMPDIR. Logs are appended to
        `worker.log` and `broker.log` of `log_folder`. Raises BrokerError.
        """
        address = valkey.Address.new()
        plan = Plan(
            server=str(valkey.server_path()),
            folder=str(address.folder),
            password=address.password,
            worker_command=tuple(worker_command),
            # Temporary files of a worker that has to be killed go with the folder.
            environment={
                **logs.for_file(),
                **environment,
                "MANYEYES_BROKER_URL": address.url,
                "TMPDIR": str(address.folder),
            },
            log_folder=str(log_folder.absolute()),
        )
        log_folder.mkdir(parents=True, exist_ok=True)
        with (log_folder / "broker.log").open("ab") as complaints:
            supervisor = subprocess.Popen(
                isolated("producer.cluster.supervisor"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=complaints,
                # A terminal's Ctrl-C reaches the owner alone, which then ends the others in good order.
                start_new_session=True,
            )
        cluster = cls(supervisor, address, log_folder)
        try:
            cluster._begin(plan)
        except BaseException:
            cluster.stop()
            raise
        return cluster

    def _begin(self, plan: Plan) -> None:
        assert self._supervisor.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it ended at once: `_events` says so
            self._supervisor.stdin.write(plan.to_line())
            self._supervisor.stdin.flush()
        deadline = time.monotonic() + START_S
        while not self.worker_pid:
            left = deadline - time.monotonic()
            if left <= 0:
                raise BrokerError(f"the embedded broker did not start within {START_S:g} s; see {self._logs}")
            self._look(left)

    def check(self) -> None:
        """Raise what went wrong since the start, if anything; cheap enough for once a second.

        BrokerError: broker or supervisor have ended. UsageError: the worker has, with exit code 2 (a model that
        cannot be used, an option that cannot be honoured); ManyeyesError: it has, otherwise.
        """
        self._look(0.0)

    def _look(self, seconds: float) -> None:
        """Take the supervisor's news, waiting at most so long for the first of it."""
        if self._failure is None:
            for event in self._events(seconds):
                if event["event"] == "ready":
                    self.broker_pid, self.worker_pid = event["broker_pid"], event["worker_pid"]
                else:
                    # The first is the cause; what follows from it is not worth telling.
                    self._failure = self._failure or self._explain(event)
        if self._failure is not None:
            raise self._failure

    def _events(self, seconds: float) -> list[dict[str, Any]]:
        assert self._supervisor.stdout is not None
        pipe = self._supervisor.stdout.fileno()
        while select.select([pipe], [], [], seconds)[0]:
            data = os.read(pipe, 1 << 16)
            if not data:
                return [{"event": "gone"}]
            self._unread += data
            seconds = 0.0
        *lines, self._unread = self._unread.split(b"\n")
        return [json.loads(line) for line in lines]

    def _explain(self, event: dict[str, Any]) -> ManyeyesError:
        if event["event"] == "failed":
            return BrokerError(event["text"])
        if event["event"] == "gone":
            return BrokerError(
                "the local supervisor has ended, and broker and worker with it: something killed it; "
                f"`producer resume` completes the run; logs are in {self._logs}"
            )
        how = ending(event["code"])
        if event["name"] == "broker":
            return BrokerError(f"the embedded broker ended ({how}); its log is {self._logs / 'broker.log'}")
        text = self._log.last_error() or os_errors.no_room(self._log.path)
        text = text or f"it ended without a word; its log is {self._log.path}"
        kind = UsageError if event["code"] == ExitCode.USAGE else ManyeyesError
        return kind(f"local worker: {text} ({how})")

    @property
    def _logs(self) -> Path:
        return self._log.path.parent

    def stop(self) -> None:
        """Kill worker and broker and remove the socket's folder; nothing is left when it returns. Can be repeated.

        Collect what you want of them before: neither says goodbye.
        """
        assert self._supervisor.stdin is not None and self._supervisor.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._supervisor.stdin.close()
        try:
            self._supervisor.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._supervisor.kill()
            self._supervisor.wait()
        finally:
            self._supervisor.stdout.close()
        if self._supervisor.returncode != 0:
            _kill_session(self.supervisor_pid)
            shutil.rmtree(self._address.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _kill_session(session: int) -> None:
    """Kill what a dead supervisor has left: on Linux the kernel does so too, elsewhere nobody else."""
    deadline = time.monotonic() + KILL_S
    while (left := _living(session)) and time.monotonic() < deadline:
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=0.02)


def _living(session: int) -> list[psutil.Process]:
    """A session's processes, without the dead that nobody has reaped."""
    living = []
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, PermissionError, psutil.NoSuchProcess):
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                living.append(process)
    return living
