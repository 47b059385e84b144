"""Commands where something around them is lacking: a home, a name, room on a disk, a reader, a working folder."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.acceptance.commands import BIN, LIMIT_S, Said, environment, only_run, producer
from tests.unit import pictures

#: A user id of which no list of users knows a name, as `docker run --user 12345` gives one.
NAMELESS = ("unshare", "--user", "--map-user=12345", "--map-group=12345")
#: The same process, with mounts of its own.
MOUNTING = ("unshare", "--mount", *(() if os.getuid() == 0 else ("--map-root-user",)))
#: Bytes of a file, at most: the worker's log fits, the journal of these images does not.
ROOM = 24 << 10
IMAGES = 150
SUBMIT = "producer submit photos --format csv --json -c 1"


def photos(folder: Path, images: int = IMAGES) -> Path:
    for number in range(images):
        path = folder / "photos" / f"{number:03}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(pictures.png(pixels=pictures.scene(96, 64)))
    return folder / "photos"


def shell(script: str, cwd: Path, before: Sequence[str] = (), **extra: str) -> Said:
    """A shell's last command decides. Bytecode is not kept: what has no room to be written whole would stay so."""
    done = subprocess.run(
        [*before, "bash", "-c", script],
        check=False,
        cwd=cwd,
        env=environment(**{"PATH": f"{BIN}:{os.environ['PATH']}", "PYTHONDONTWRITEBYTECODE": "1", **extra}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    return Said(done.returncode, done.stdout, done.stderr)


def allowed(before: Sequence[str], script: str = "true") -> bool:
    return (
        shutil.which(before[0]) is not None
        and not subprocess.run([*before, "bash", "-c", script], check=False, capture_output=True).returncode
    )


@pytest.mark.skipif(not allowed(NAMELESS), reason="this system lets nobody take another user id")
def test_a_user_without_name_and_home_runs(tmp_path: Path) -> None:
    photos(tmp_path, 3)
    bare = "unset HOME USER LOGNAME LANG TERM;"
    assert shell("id -un", tmp_path, NAMELESS).code == 1, "the user id has a name here, and the test proves nothing"
    said = shell(f"{bare} producer submit photos --json -c 1", tmp_path, NAMELESS)
    assert said.code == 0 and said.json["ok"] == 3, said.err
    doctor = shell(f"{bare} producer doctor", tmp_path, NAMELESS)
    assert "Traceback" not in doctor.err and "none is configured" in doctor.out
    for command, variable in (
        ("producer up --no-workers --no-flower", "--state"),
        ("producer submit photos --detector yolox-s", "MANYEYES_CACHE"),
    ):
        refused = shell(f"{bare} {command}", tmp_path, NAMELESS)
        assert refused.code == 2 and variable in refused.error and "12345" in refused.error


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Photos, and the digest of a run over them to which nothing happens."""
    folder = tmp_path_factory.mktemp("many")
    photos(folder)
    said = shell(f"{SUBMIT} --output whole", folder)
    assert said.code == 0, said.err
    return folder / "photos", said.json["digest"]


def test_a_run_without_room_is_one_line_and_completed_when_there_is_some(
    tmp_path: Path, many: tuple[Path, str]
) -> None:
    (tmp_path / "photos").symlink_to(many[0])
    said = shell(f"ulimit -f {ROOM >> 10}; {SUBMIT}", tmp_path)
    run = only_run(tmp_path)
    assert said.code == 1 and said.out == ""
    for words in ("journal.bin cannot be written", f"{ROOM:,} bytes", f"producer resume {run.name}"):
        assert words in said.error
    assert not (run / "images.parquet").exists()
    _completed(tmp_path, run, many[1])


@pytest.mark.skipif(not allowed(MOUNTING, "mount -t tmpfs x /mnt"), reason="this system lets us mount nothing")
def test_a_full_disk_is_named_and_loses_nothing(tmp_path: Path, many: tuple[Path, str]) -> None:
    (tmp_path / "photos").symlink_to(many[0])
    (tmp_path / "runs").mkdir()
    script = f"mount -t tmpfs -o size=48k x runs && {{ {SUBMIT}; code=$?; cp -a runs kept; exit $code; }}"
    said = shell(script, tmp_path, MOUNTING)
    assert said.code == 1
    for words in (f"the disk at {tmp_path}/runs is full: runs/", "cannot be written; make room", "producer resume "):
        assert words in said.error
    (tmp_path / "runs").rmdir()
    (tmp_path / "kept").rename(tmp_path / "runs")
    _completed(tmp_path, only_run(tmp_path), many[1])


def _completed(folder: Path, run: Path, digest: str) -> None:
    listed = producer("runs", cwd=folder)
    assert "interrupted" in listed.out
    resumed = producer("resume", "--json", cwd=folder)
    assert resumed.code == 0 and resumed.json["digest"] == digest, resumed.err
    assert producer("verify", cwd=folder).code == 0
    assert not list(run.glob(".*")), "half files are left"


def test_whoever_stops_reading_stops_nothing(tmp_path: Path) -> None:
    photos(tmp_path, 3)
    # Nor does a terminal that lacks a letter.
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii:strict"}
    said = shell("producer submit photos --name käse -c 1 2>&1 | head -1; exit ${PIPESTATUS[0]}", tmp_path, **plain)
    assert said.code == 0, said.out
    assert " k\\u" in shell("producer runs", tmp_path, **plain).out
    for command in ("producer runs", "producer runs --json", "producer verify"):
        # The reader has gone before anything is printed.
        said = shell(f"{command} | true; exit ${{PIPESTATUS[0]}}", tmp_path)
        assert (said.code, said.err) == (0, ""), command
    full = shell("producer runs > /dev/full", tmp_path)
    assert full.code == 1 and full.error == "the standard output cannot be written: No space left on device"


def test_streams_that_are_closed_are_no_files_of_the_run(tmp_path: Path) -> None:
    """The next file that is opened gets the number of a closed one, and children print into it."""
    photos(tmp_path, 3)
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] > 40
    # Few open files are no obstacle either, where more are allowed.
    said = shell("ulimit -Sn 40; producer submit photos -c 1 <&- >&- 2>&-", tmp_path)
    assert said.code == 0 and (said.out, said.err) == ("", "")
    verified = shell("producer verify", tmp_path)
    assert verified.code == 0, verified.err
    refused = shell("ulimit -n 40; producer verify", tmp_path)
    assert refused.code == 1 and "ulimit -n" in refused.error


def test_a_working_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    for command in ("producer runs", "worker health"):
        said = shell(f"cd gone; rmdir ../gone; {command}; code=$?; mkdir ../gone; exit $code", tmp_path)
        assert said.code == 1 and "was deleted" in said.error, command
