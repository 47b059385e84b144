"""The run directory: who has it, and what is said to others."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from common.datasets.path_list.listed import Listed
from common.errors import FencedError, ManyeyesError, UsageError
from producer.run.submit import _keep_lists as keep_lists
from producer.rundir.run_directory import RunDir, create
from tests.unit.test_osfault import small_files


def test_an_owner_that_speaks_is_left_alone(tmp_path: Path) -> None:
    rundir = RunDir(tmp_path)
    rundir.write_progress({"at": time.time()})
    with rundir.lock(), pytest.raises(FencedError, match="live owner; producer watch"):
        rundir.lock()


def test_an_owner_that_hangs_is_named(tmp_path: Path) -> None:
    """Its lock wins over its lease: a process that sleeps may wake in the middle of a write."""
    rundir = RunDir(tmp_path)
    rundir.write_token(3)
    rundir.write_progress({"at": time.time() - 60})
    words = (
        f"process {os.getpid()} on .*, which has said nothing for 6. s; if it hangs, kill it, then:  producer resume"
    )
    with rundir.lock(), pytest.raises(FencedError, match=words):
        rundir.lock()
    assert rundir.last_token() == 3


def test_what_lists_name_is_kept_whole_or_the_run_does_not_go_on(tmp_path: Path) -> None:
    rundir = create(tmp_path, "20261127-000000-abcdefgh")
    assert rundir.keep_lists(Listed([])) is None and not rundir.lists.exists()
    rundir.write({"lists": rundir.keep_lists(Listed([b"/a\n.jpg", b"/b.jpg"], skipped=3))})
    assert rundir.kept_lists() == Listed([b"/a\n.jpg", b"/b.jpg"], skipped=3)
    for damaged in (b"", b"/a.jpg\0"):
        rundir.lists.write_bytes(damaged)
        with pytest.raises(UsageError, match=r"lists.paths has [01] names, and run.json says 2: it is damaged"):
            rundir.kept_lists()
    rundir.lists.unlink()
    with pytest.raises(UsageError, match="has 0 names"):
        rundir.kept_lists()
    rundir.write({})
    assert rundir.kept_lists() is None
    rundir.lists.write_bytes(b"/a.jpg\0")
    assert rundir.kept_lists() == Listed([b"/a.jpg"]), "as earlier versions wrote it"


def test_lists_that_do_not_fit_on_the_disk_are_one_line_and_leave_no_run(tmp_path: Path) -> None:
    rundir = create(tmp_path, "20261127-000000-abcdefgh")
    with small_files(), pytest.raises(ManyeyesError, match=r"may write .*lists\.paths|lists\.paths cannot be written"):
        keep_lists(rundir, Listed([b"/%d.jpg" % number for number in range(100_000)]))
    assert [*tmp_path.iterdir()] == []
