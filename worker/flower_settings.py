"""Flower's options in, safe ones out: for `celery -A worker.app flower`, where nothing else is said.

What its user says (`FLOWER_...` in the environment, a `flowerconfig.py`, the command line) is read later and counts.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import sys
from pathlib import Path
from typing import Any

import click

from common.broker import sentinel
from common.broker.url_file import url_of
from common.redaction import redact
from common.user_folders import homeless

#: The user name of a password that was made up here, and of the hub's.
USER = "manyeyes"
#: Flower holds them in memory, some 2 kB each, and writes all of them to its file each time.
MAX_TASKS = 10_000
#: Seconds between two writings: what a kill -9 costs.
SAVE_S = 60
#: Seconds. Each `worker start` has another name: those that are gone would pile up.
FORGET_WORKERS_S = 24 * 3600
#: A row a task: `uuid` is run, shard and attempt, and leads to the task's page; `args`, images and detector.
COLUMNS = "uuid,args,state,result,runtime,worker,received"

#: Of a pool process that is gone, in Celery's words: the signal or exit code.
_DIED = re.compile(r"[\w.]*WorkerLostError: Worker exited prematurely: (.*?)(?: Job: \d+)?\.?")


def asked_for() -> bool:
    """Celery's command line imports the app before it runs the command that was typed."""
    context = click.get_current_context(silent=True)
    return context is not None and context.invoked_subcommand == "flower"


def prepare(broker_url: str, cache: Path | None) -> None:
    """Before Flower reads what its user says."""
    from flower.options import options
    from flower.views.monitor import Metrics
    from tornado.web import authenticated

    options.address = "127.0.0.1"
    options.read_only = True
    # Workers send events unasked; Flower need not tell each of them to, every 5 s.
    options.enable_events = False
    options.max_tasks = MAX_TASKS
    options.purge_offline_workers = FORGET_WORKERS_S
    options.tasks_columns = COLUMNS
    options.format_task = readable
    options.state_save_interval = SAVE_S * 1000
    _keep(options, cache, broker_url)
    _lock(options)
    # Flower leaves it open to everybody: names of machines, counts of their tasks.
    Metrics.get = authenticated(Metrics.get)


def broker_options(broker_url: str) -> dict[str, Any]:
    """What Flower needs for its Broker page besides the URL: how it logs in to a Sentinel."""
    url = url_of(broker_url)
    return {"sentinel_kwargs": sentinel.parse(url).login} if sentinel.is_sentinel(url) else {}


def _keep(options: Any, cache: Path | None, broker_url: str) -> None:
    """Persistent, in a folder that others cannot write: the file is a pickle."""
    if cache is None:
        print(f"note: {homeless('Flower', 'tasks are forgotten at its end, or set FLOWER_DB')}", file=sys.stderr)
        return
    folder = cache / "flower"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        print(f"note: {folder}: {error.strerror}; tasks are forgotten at its end, or set FLOWER_DB", file=sys.stderr)
        return
    options.persistent = True
    options.db = str(folder / hashlib.sha256(redact(broker_url).encode()).hexdigest()[:8])


def _lock(options: Any) -> None:
    """A password of its own, shown once, unless its user has said how people log in, or that they need not."""
    from flower.utils import strtobool
    from tornado.ioloop import IOLoop

    password = secrets.token_urlsafe(12)
    ours = [f"{USER}:{password}"]
    options.basic_auth = ours

    def settle() -> None:
        if options.auth or strtobool(os.environ.get("FLOWER_UNAUTHENTICATED_API") or "false"):
            options.basic_auth = [login for login in options.basic_auth or () if login and login not in ours]
        elif not any(options.basic_auth or ()):
            options.basic_auth = ours  # an empty one lets everybody in, or nobody

    def show() -> None:
        if options.basic_auth == ours:
            words = "set FLOWER_BASIC_AUTH=USER:PASSWORD for one that stays"
            print(f"dashboard: user {USER}, password {password}; {words}", file=sys.stderr, flush=True)

    # Each time that options have been read: its environment and command line, then its file too.
    options.add_parse_callback(settle)
    # When it serves: all of them have been read by then.
    IOLoop.current().add_callback(show)


def readable(task: Any) -> Any:
    """A copy of a task, as Flower shows it: one result, be it an answer or why there is none."""
    if task.traceback:
        last = task.traceback.strip().rpartition("\n")[2]
        died = _DIED.fullmatch(last)
        task.result = f"its process died: {died[1]}" if died else last.removeprefix("common.errors.")
        # The event has no more than the name of a wrapper here.
        task.exception = None
    elif task.result:
        task.result = task.result.strip("'\"")
    return task
