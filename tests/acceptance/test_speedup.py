"""`python -m benchmarks.speedup` as `make bench` runs it, on a few small pictures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.acceptance.commands import LIMIT_S, environment
from tests.unit import pictures

ROOT = Path(__file__).parents[2]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two pictures in which `hog` sees something, and one that is cut short."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(2):
        coarse = np.random.default_rng(number).integers(0, 256, (16, 12, 3), np.uint8)
        (folder / f"{number}.png").write_bytes(pictures.png(pixels=coarse.repeat(16, 0).repeat(16, 1)))
    (folder / "2.jpg").write_bytes(pictures.cut(pictures.jpeg()))
    return folder


def speedup(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.speedup", *map(str, arguments)],
        cwd=cwd,
        env=environment(PYTHONPATH=str(ROOT)),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def test_every_variant_is_measured_and_finds_the_same(photos: Path, tmp_path: Path) -> None:
    options = ("--images", photos, "--detector", "hog", "--count", 5, "--per-call-count", 3, "--processes", 2)
    said = speedup(*options, cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    assert "All variants found the same" in said.stdout
    results = json.loads((tmp_path / "bench-results" / "speedup.json").read_text())
    [hog] = results["detectors"]
    rows = {row["variant"]: row for row in hog["rows"]}
    assert list(rows) == ["sequential", "threads", "threads-lock", "pool-per-call", "pool", "pipeline", "ideal"]
    assert {name: row["images"] for name, row in rows.items() if row["images"] != 5} == {"pool-per-call": 3}
    assert hog["boxes"] > 0 and hog["differences"] == []
    assert all(0 < row["first_result_s"] <= row["whole_s"] and row["largest_rss_mb"] > 20 for row in rows.values())
    assert results["machine"]["cores"] >= 1 and "onnxruntime" in results["machine"]["versions"]
    assert (tmp_path / "bench-results" / "speedup.png").read_bytes().startswith(b"\x89PNG")


def test_an_unknown_variant_or_detector_is_one_line(photos: Path, tmp_path: Path) -> None:
    said = speedup("--images", photos, "--variants", "magic", cwd=tmp_path)
    assert said.returncode == 2 and said.stderr.startswith("error: --variants magic: not known; choose of sequential")
    said = speedup("--images", photos, "--detector", "nothing-of-that-name", cwd=tmp_path)
    assert said.returncode != 0 and "unknown detector 'nothing-of-that-name'" in said.stderr
    assert "Traceback" not in said.stderr
