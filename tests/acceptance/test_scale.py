"""`python -m benchmarks.scale`, both measurements, a few seconds each: the figures of a real, small run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.commands import LIMIT_S, environment

ROOT = Path(__file__).parents[2]


def measured(what: str, results: Path, *options: str) -> tuple[Any, str]:
    """What was written, and what was printed."""
    command = [sys.executable, "-m", "benchmarks.scale", what, *options, "--results", str(results)]
    env = {**environment(), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=results, env=env, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads((results / f"scale-{what}.json").read_text())["found"], done.stdout


def test_images_go_through_real_workers_and_leave_nothing(tmp_path: Path) -> None:
    work = tmp_path / "work"
    found, said = measured("items", tmp_path, "--items", "10000", "--processes", "1", "--folder", str(work), "--keep")
    assert found["items"] == 10_000 and found["images_per_s"] > 0 and found["listed_per_s"] > 0
    # 5 boxes an image: 28 bytes each in the journal, beside a SHA-256.
    assert 5 * 28 + 64 < found["disk"]["journal"] / 10_000 < 400
    assert found["owner_rss"] > 50e6 and found["redis_peak"] > found["redis_empty"]
    assert "| listed and durable |" in said
    # The images were to be kept, and nothing else.
    assert [path.name for path in work.iterdir()] == ["images-10000"]


@pytest.mark.parametrize("processes", [3])
def test_simulated_processes_do_a_real_run(tmp_path: Path, processes: int) -> None:
    options = ["--processes", str(processes), "--images-per-s", "600", "--whole", "1200", "--per-worker", "2"]
    [found], said = measured("processes", tmp_path, *options)
    assert found["dropped"] == 0 and 100 < found["images_out_per_s"] <= 700
    assert 0 <= found["delay_s"][0] < 5
    assert {name for name, used in found["used"].items() if used["rss"] > 1e6} == {"owner", "broker", "simulators"}
    assert said.startswith("| processes |")
