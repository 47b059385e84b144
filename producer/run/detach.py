"""`submit --detach`: the same command as a background process; its run's id out as soon as it is reserved."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
from pathlib import Path

from common import logs
from common.errors import ManyeyesError, UsageError
from producer.cluster.late import LATE_S
from producer.cluster.log_tail import Log


def start(arguments: list[str], as_json: bool) -> int:
    """Print the run's id (or one JSON object) and return 0. Raises ManyeyesError with the owner's own last line."""
    if "-" in arguments:
        raise UsageError("--detach cannot read a list from standard input; write it to a file named *.txt")
    command = [word for word in arguments if word not in ("--detach", "--json")]
    read, write = os.pipe()
    with tempfile.NamedTemporaryFile("w+", prefix="manyeyes-", suffix=".log", delete=False) as log:
        owner = subprocess.Popen(
            [sys.executable, "-m", "producer.cli.app", *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=(write,),
            env={**os.environ, **logs.for_file(), "MANYEYES_DETACH": "0", "MANYEYES_REPORT_FD": str(write)},
        )
        os.close(write)
        with os.fdopen(read) as answer:
            try:
                _say_what_is_waited_for(read, Log(Path(log.name), 0))
                told = answer.read().splitlines()
            except KeyboardInterrupt:
                # It would begin a run of which nobody knows.
                owner.terminate()
                raise
        if not told:
            owner.wait()
            said = Log(Path(log.name), 0)
            error = ManyeyesError(said.last_error() or said.last_line() or "it ended without a word")
            Path(log.name).unlink()
            error.exit_code = owner.returncode
            raise error
    run, folder = told
    # The owner goes on writing to the same file under its new name.
    kept = Path(folder) / "logs" / "owner.log"
    kept.parent.mkdir(exist_ok=True)
    _move(Path(log.name), kept)
    print(json.dumps({"run_id": run, "run_dir": folder}) if as_json else run)
    if not as_json:
        print(f"in the background; to follow it:  producer watch {run} --output {Path(folder).parent}", file=sys.stderr)
    return 0


def _say_what_is_waited_for(answer: int, log: Log) -> None:
    """Until its run has an id, or it has ended: its last line, if that is late."""
    shown, wait_s = None, LATE_S
    while not select.select([answer], [], [], wait_s)[0]:
        wait_s = 0.5
        if (line := log.last_line()) and line != shown:
            shown = line
            print(line, file=sys.stderr, flush=True)


def _move(source: Path, destination: Path) -> None:
    """Within one file system the open log moves along; across two it stays where it is, named by a link."""
    try:
        source.replace(destination)
    except OSError:
        destination.unlink(missing_ok=True)
        destination.symlink_to(source)
