"""Errors of the operating system in one line: which disk or limit, what was being written, and what helps."""

from __future__ import annotations

import errno
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from common import os_errors
from common.atomic_files import atomic_file, atomic_folder, write_json
from common.errors import UsageError, line_of
from common.protocol.messages import ItemRecord, ShardId, ShardResult
from common.settings import Settings
from common.user_folders import cache_folder, state_folder
from jobs.detect.detectors import load
from jobs.detect.models.model_zoo import NamedModel
from producer.cli import hub
from producer.cluster.hub.state_folder import HubFolder
from producer.rundir.journal import Journal

LIMIT = 4096


@contextmanager
def small_files() -> Iterator[None]:
    """A process that may write no larger file: the kernel's EFBIG comes as a full disk's ENOSPC does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    assert signal.getsignal(signal.SIGXFSZ) is signal.SIG_IGN
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_named_with_what_was_being_written() -> None:
    with pytest.raises(OSError) as caught, os_errors.naming(Path("/dev/shm/runs/a/journal.bin")):
        os.write(os.open("/dev/full", os.O_WRONLY), b"0")
    assert caught.value.errno == errno.ENOSPC
    line = line_of(caught.value)
    assert line == "the disk at /dev/shm is full: /dev/shm/runs/a/journal.bin cannot be written; make room there"


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EDQUOT, "your quota is used up on the disk at /"),
        (errno.EROFS, "the disk at /dev/shm is read-only: /dev/shm/a cannot be written"),
        (errno.EFBIG, "a file is larger than allowed (File too large): /dev/shm/a cannot be written"),
        (errno.EMFILE, "ulimit -n"),
        (errno.EACCES, "/dev/shm/a: Permission denied"),
    ],
)
def test_other_errors_have_words_too(number: int, words: str) -> None:
    line = line_of(OSError(number, os.strerror(number), "/dev/shm/a"))
    assert line is not None and words in line and "Errno" not in line


def test_a_process_or_a_thread_that_cannot_be_started_is_a_limit_and_no_defect() -> None:
    for error in (RuntimeError("can't start new thread"), BlockingIOError(errno.EAGAIN, "Resource unavailable")):
        assert "ulimit -u" in str(line_of(error))
    assert line_of(RuntimeError("something else")) is None


def test_nothing_of_a_file_that_could_not_be_written_whole_is_left(tmp_path: Path) -> None:
    for write in (_file, _json, _folder):
        with small_files(), pytest.raises(OSError) as caught:
            write(tmp_path / "a")
        assert caught.value.filename == str(tmp_path / "a")
        assert list(tmp_path.iterdir()) == []


def _file(path: Path) -> None:
    with atomic_file(path) as file:
        file.write(bytes(2 * LIMIT))


def _json(path: Path) -> None:
    write_json(path, {"a": "0" * 2 * LIMIT}, durable=False)


def _folder(path: Path) -> None:
    with atomic_folder(path) as folder:
        (folder / "b").write_bytes(bytes(2 * LIMIT))


def test_a_journal_on_a_full_disk_keeps_what_it_had_and_says_which_file(tmp_path: Path) -> None:
    path = tmp_path / "journal.bin"
    results = [
        ShardResult(ShardId(0, first, 8), 1, "w", 1, (ItemRecord(bytes=first),) * 8, ShardResult.no_detections())
        for first in range(0, 80, 8)
    ]
    journal = Journal(path)
    journal.append(results[:1], [results[0].encode()])
    whole = path.stat().st_size
    with small_files():
        with pytest.raises(OSError) as caught:
            journal.append(results[1:], [result.encode() for result in results[1:]])
        journal.close()
    assert caught.value.filename == str(path)
    again = Journal(path)
    kept = again.done.count
    assert whole <= path.stat().st_size <= LIMIT and 8 <= kept < 80 and kept % 8 == 0
    again.append(results, [result.encode() for result in results])
    assert again.done.count == 80
    assert [result.shard for result in again.results()] == [result.shard for result in results]
    again.close()


@pytest.mark.parametrize("home", ["/dev/null", "/dev/null/a"])
def test_a_home_that_is_none_hides_no_hub_and_ends_no_run(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("HOME", home)
    hub.note_of_idle_hub()
    with pytest.raises(UsageError, match="--state"):
        HubFolder(state_folder() or Path()).prepare()


def test_a_user_without_a_home_has_no_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.getuid", lambda: 4_000_000_000)
    assert cache_folder() is None and state_folder() is None and Settings().cache is None
    monkeypatch.setenv("XDG_STATE_HOME", "/somewhere")
    assert state_folder() == Path("/somewhere/manyeyes")


@pytest.mark.parametrize("cache", [None, Path("/proc/no"), Path("/dev/null/no")])
def test_a_model_that_cannot_be_kept_names_the_folder_and_the_variable(cache: Path | None) -> None:
    model = NamedModel("made", "https://127.0.0.1:1/made.onnx", "0" * 64, 1, "")
    with pytest.raises(UsageError) as caught:
        load.fetch(model, cache, None)
    assert "MANYEYES_CACHE" in str(caught.value) and "made" in str(caught.value)
    assert cache is None or str(cache) in str(caught.value)
