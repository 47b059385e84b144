"""A variant and a folder of images in; what it took and what it found out."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import measure, sameness
from benchmarks.report import Report
from benchmarks.sameness import Fingerprints
from benchmarks.variants import VARIANTS
from common.errors import ExitCode

#: In the order of the issue's letters, (a) to (f), with what they are held against at the end.
NAMES = ("sequential", "threads", "threads-lock", "pool-per-call", "pool", "pipeline", "ray", "ideal")
#: What `make bench` leaves out: it needs the `peers` extra.
PEERS = ("ray",)
_MB = 1 << 20


@dataclass(frozen=True, slots=True)
class Scene:
    """What all variants of one detector share."""

    detector: str
    folder: Path
    images: int
    processes: int
    #: For run directories and reports; emptied by each variant.
    scratch: Path


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of one variant. Seconds; mebibytes (2^20 bytes)."""

    variant: str
    images: int
    #: From the first image's start, models loaded, to the caller's last result.
    images_per_s: float
    #: From the command's start to a first result that its caller, or its disk, has.
    first_result_s: float
    whole_s: float
    largest_rss_mb: float
    all_rss_mb: float


def run(variant: str, scene: Scene) -> tuple[Measured, Fingerprints]:
    """Raises ManyeyesError where the variant fails."""
    scene.scratch.mkdir(parents=True)
    try:
        match variant:
            case "pipeline":
                return _pipeline(scene)
            case "ray":
                command, results = [sys.executable, "-m", "benchmarks.peers"], scene.scratch / "parquet"
                return _reported(variant, scene, command, results)
            case _:
                assert variant in VARIANTS
                return _reported(variant, scene, [sys.executable, "-m", "benchmarks.variants", variant])
    finally:
        shutil.rmtree(scene.scratch)


def _pipeline(scene: Scene) -> tuple[Measured, Fingerprints]:
    """`producer submit FOLDER`, as a user types it; a first result is one that its journal holds, on disk."""
    command = [measure.console_script("producer"), "submit", str(scene.folder), "--json"]
    command += ["--detector", scene.detector, "--concurrency", str(scene.processes), "--output", str(scene.scratch)]
    ran = measure.run(
        command,
        scene.scratch,
        lambda: any(journal.stat().st_size for journal in scene.scratch.glob("*/journal.bin")),
        fine=(ExitCode.OK, ExitCode.SOME_FAILED),
    )
    said = json.loads(ran.out)
    measured = _measured("pipeline", scene, ran, said["images_per_s"])
    return measured, sameness.of_run(Path(said["run_dir"]))


def _reported(
    variant: str, scene: Scene, command: Sequence[str], results: Path | None = None
) -> tuple[Measured, Fingerprints]:
    """A command that writes a Report, and `results` (Parquet files) where it puts its results on disk."""
    path = scene.scratch / "report.json"
    arguments = [scene.detector, str(scene.folder), str(scene.processes), str(path)]
    is_there = None if results is None else lambda: any(results.glob("*.parquet"))
    ran = measure.run([*command, *arguments], scene.scratch, is_there)
    report = Report.read(path)
    if report.first is not None:
        ran = replace(ran, first=report.first)
    return _measured(variant, scene, ran, scene.images / (report.ended - report.began)), report.fingerprints


def _measured(variant: str, scene: Scene, ran: measure.Ran, images_per_s: float) -> Measured:
    return Measured(
        variant=variant,
        images=scene.images,
        images_per_s=round(images_per_s, 2),
        # Results that nobody saw before the end are there at the end.
        first_result_s=round(ran.whole_s if ran.first is None else ran.first - ran.started, 3),
        whole_s=round(ran.whole_s, 3),
        largest_rss_mb=round(ran.largest_rss / _MB, 1),
        all_rss_mb=round(ran.all_rss / _MB, 1),
    )
