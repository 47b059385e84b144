"""A plan in, one comparison a detector out: rounds in which every variant runs once, and what differs between them."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import measure, pictures, rounds, sameness
from benchmarks.rounds import Measured, Scene
from benchmarks.sameness import Fingerprints
from benchmarks.summary import Comparison, summarise
from jobs.detect.models.detector_names import DetectorText

#: The one variant that may get fewer images: it is slow, and no faster with more.
PER_CALL = "pool-per-call"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is compared. The first variant is the one whose detections the others must have."""

    detectors: tuple[str, ...]
    variants: tuple[str, ...]
    folders: tuple[Path, ...]
    count: int
    per_call_count: int
    repeat: int
    processes: int

    def images(self, variant: str) -> int:
        return self.per_call_count if variant == PER_CALL else self.count


@contextmanager
def scratch(plan: Plan) -> Iterator[Path]:
    """A folder with the plan's images; gone when the block ends. Raises UsageError where there are none."""
    folder = Path(tempfile.mkdtemp(prefix="speedup-"))
    try:
        for count in {plan.count, plan.per_call_count}:
            pictures.repeat(plan.folders, count, folder / str(count))
        yield folder
    finally:
        shutil.rmtree(folder)


def compare(detector: str, plan: Plan, folder: Path, say: Callable[[str], None]) -> Comparison:
    """All rounds of one detector; `say` is told what runs. Raises ManyeyesError where a variant fails."""
    name = DetectorText.parse(detector).name
    # A pool whose initializer fails would start processes for ever.
    measure.run([sys.executable, "-m", "worker.preflight"], folder, MANYEYES_DETECTOR=detector)
    measured: list[dict[str, Measured]] = []
    differences: list[str] = []
    reference: Fingerprints = {}
    for number in range(plan.repeat):
        found: dict[str, Fingerprints] = {}
        measured.append({})
        for variant in plan.variants:
            say(f"{name}, round {number + 1} of {plan.repeat}: {variant}")
            count = plan.images(variant)
            scene = Scene(detector, folder / str(count), count, plan.processes, folder / "run")
            measured[-1][variant], found[variant] = rounds.run(variant, scene)
        reference = reference or max(found.values(), key=len)
        differences += differing(reference, found, plan)
    return Comparison(
        detector=name,
        rows=summarise(measured),
        rounds=tuple(tuple(one.values()) for one in measured),
        differences=tuple(differences),
        boxes=sum(map(sameness.boxes, reference.values())),
    )


def differing(reference: Fingerprints, found: Mapping[str, Fingerprints], plan: Plan) -> list[str]:
    """One line for each image of which a variant does not say what the reference says."""
    lines = []
    for variant, its in found.items():
        expected = dict(sorted(reference.items())[: plan.images(variant)])
        lines += [f"{variant}: {line}" for line in sameness.differences(expected, its)]
    return lines
