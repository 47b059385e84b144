"""What `worker health --local` makes of what workers note."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from common.errors import ManyeyesError
from common.limits import HEARTBEAT_LIFE_S, LOAD_ILL_S, OVERDUE_S, START_ILL_S
from worker.pool import local_health
from worker.pool.local_health import LocalBeat


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    local_health.folder().mkdir(mode=0o700)
    return local_health.folder()


def well(pid: int | None = None) -> LocalBeat:
    process, now = psutil.Process(pid or os.getpid()), time.monotonic()
    return LocalBeat("a@here", socket.gethostname(), process.pid, local_health.began(process), 0.0, now, now, 2, 2)


def note(place: Path, *beats: LocalBeat) -> None:
    for number, beat in enumerate(beats):
        (place / f"{number}.json").write_text(json.dumps(asdict(beat)))


def test_healthy(place: Path) -> None:
    starting = replace(well(), worker="b@here", loading=time.monotonic() - LOAD_ILL_S + 60, looked=0.0, alive=0)
    waiting = replace(starting, worker="c@here", loading=0.0, said=1.0)
    note(place, replace(well(), alive=1, short_s=START_ILL_S - 1), starting, waiting)
    assert local_health.check().endswith("3 workers alive, 2 of them starting, 1 processes")
    assert local_health.check("a@here").endswith("1 worker alive, 1 processes")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"said": 1.0}, "has said nothing for"),
        ({"looked": 1.0}, "has not looked at its processes"),
        ({"loading": 1.0, "looked": 0.0}, "has been loading its models"),
        ({"alive": 1, "short_s": START_ILL_S + 1}, "1 of 2 processes live"),
        ({"overdue_s": OVERDUE_S + 1}, "passed its time"),
        ({"host": "another"}, "no worker of this user lives here"),
        ({"created": 1.0}, r"a@here \(pid \d+\) has died"),
    ],
)
def test_ill(change: dict[str, float | str], words: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A machine that has just started has a clock near zero.
    later = time.monotonic() + HEARTBEAT_LIFE_S + LOAD_ILL_S
    monkeypatch.setattr(time, "monotonic", lambda: later)
    note(place, replace(well(), **change))  # type: ignore[arg-type]
    with pytest.raises(ManyeyesError, match=words):
        local_health.check()


def test_one_ill_worker_of_several_is_named(place: Path) -> None:
    note(place, well(), replace(well(), worker="b@here", overdue_s=60.0))
    with pytest.raises(ManyeyesError, match="b@here"):
        local_health.check()
    assert "1 worker alive" in local_health.check("a@here")


def test_what_a_dead_worker_has_left_is_swept_away(place: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    beat = well(child.pid)
    child.communicate(b"\n")
    note(place, beat, well())
    assert "1 worker alive" in local_health.check(), "another one lives"
    local_health.sweep()
    assert [path.name for path in place.iterdir()] == ["1.json"]


def test_a_clock_that_is_set_kills_no_worker(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    note(place, well())
    system: Any = psutil._psplatform
    started = system.boot_time()
    # As the system says it from then on.
    monkeypatch.setattr(system, "boot_time", lambda: started + 3600)
    local_health.sweep()
    assert "1 worker alive" in local_health.check()


def test_a_worker_that_ends_takes_the_folder_from_none_that_starts(
    place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ended, write = [place], Path.write_text

    def write_after_that(path: Path, text: str) -> int:
        while ended:
            ended.pop().rmdir()
        return write(path, text)

    monkeypatch.setattr(Path, "write_text", write_after_that)
    beacon = local_health.Beacon("a@here")
    beacon.loading()
    assert "1 worker alive" in local_health.check() and not caplog.records
    beacon.end()
    assert not place.exists()


def test_what_others_could_have_put_there_is_not_believed(place: Path) -> None:
    note(place, well())
    place.chmod(0o777)
    with pytest.raises(ManyeyesError, match="not a folder of this user's alone; remove it"):
        local_health.check()


def test_it_loads_no_more_than_it_needs() -> None:
    """It runs every few seconds."""
    heavy = {"cv2", "onnxruntime", "numpy", "celery", "redis", "pydantic"}
    code = f"import sys, worker.cli, worker.pool.local_health; sys.exit(str({heavy!r} & set(sys.modules) or ''))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert not said.stderr.strip(), said.stderr
