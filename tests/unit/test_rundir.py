"""The run directory: who has it, and what is said to others."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from common.errors import FencedError
from producer.rundir import RunDir


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
