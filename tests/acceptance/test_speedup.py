"""`python -m benchmarks.speedup` as `make bench` runs it, on a few small pictures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from tests.acceptance.commands import LIMIT_S, environment
from tests.unit import pictures

ROOT = Path(__file__).parents[2]


def someone(left: int) -> Image.Image:
    """Head, body and legs, dark on light: one person to `hog`."""
    picture = Image.new("RGB", (192, 256), (200, 205, 210))
    pen = ImageDraw.Draw(picture)
    pen.ellipse((left - 12, 40, left + 12, 68), fill=(40, 40, 50))
    pen.rounded_rectangle((left - 24, 70, left + 24, 140), 10, fill=(60, 50, 90))
    for leg in (left - 20, left + 4):
        pen.rectangle((leg, 135, leg + 16, 215), fill=(30, 30, 40))
    return picture


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two pictures in which `hog` sees something, and one that is cut short."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(2):
        someone(left=90 + 10 * number).save(folder / f"{number}.png")
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
    assert hog["boxes"] == 4 and hog["differences"] == []
    assert all(0 < row["first_result_s"] <= row["whole_s"] and row["largest_rss_mb"] > 20 for row in rows.values())
    assert results["machine"]["cores"] >= 1 and "onnxruntime" in results["machine"]["versions"]
    assert (tmp_path / "bench-results" / "speedup.png").read_bytes().startswith(b"\x89PNG")


def test_an_unknown_variant_or_detector_is_one_line(photos: Path, tmp_path: Path) -> None:
    said = speedup("--images", photos, "--variants", "magic", cwd=tmp_path)
    assert said.returncode == 2 and said.stderr.startswith("error: --variants magic: not known; choose of sequential")
    said = speedup("--images", photos, "--detector", "nothing-of-that-name", cwd=tmp_path)
    assert said.returncode != 0 and "unknown detector 'nothing-of-that-name'" in said.stderr
    assert "Traceback" not in said.stderr
