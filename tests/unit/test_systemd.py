"""The units of deploy/systemd: right by systemd's own check where that is at hand, and by our commands."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from common.limits import ENDING_S, GOODBYE_S
from tests.acceptance.commands import BIN, environment

UNITS = sorted((Path(__file__).parents[2] / "deploy" / "systemd").glob("*.service"))


def settings(unit: Path) -> dict[str, list[str]]:
    """All lines of a name, in their order, sections aside."""
    found: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_runs_what_there_is(unit: Path) -> None:
    said = settings(unit)
    for line in said["ExecStart"] + said.get("ExecStop", []):
        program, *words = shlex.split(line)
        options = [word for word in words if word.startswith("-")]
        command = [word for word in words if not word.startswith("-")]
        shown = subprocess.run(
            [BIN / Path(program).name, *command, "--help"],
            capture_output=True,
            text=True,
            check=True,
            env=environment(),
        ).stdout
        assert all(option in shown for option in options)
    assert said["KillMode"] == ["mixed"], "TERM is for the parent alone"
    assert "ExecStartPre" not in said and "Environment" in said and not any("PASSWORD" in one for one in said)


def test_a_worker_has_the_time_that_it_takes_to_end() -> None:
    [unit] = [unit for unit in UNITS if "worker" in unit.name]
    assert float(settings(unit)["TimeoutStopSec"][0]) > ENDING_S + GOODBYE_S


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_takes_them(tmp_path: Path) -> None:
    copies = []
    for unit in UNITS:
        copies.append(tmp_path / unit.name)
        # It looks for the program too.
        copies[-1].write_text(unit.read_text().replace("/opt/manyeyes/bin", str(BIN)))
    command = ["systemd-analyze", "verify", *copies]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (said.returncode, said.stderr) == (0, "")
