"""Detectors and images in; a table, a plot and a file of numbers out, and exit code 1 where detections differ."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks import machine
from benchmarks.compare import Plan, compare, scratch
from benchmarks.machine import Machine
from benchmarks.rounds import NAMES, PEERS
from benchmarks.summary import Comparison, table
from common.errors import ManyeyesError, UsageError

#: Beside the checkout; used where they are there.
SHARED = Path(__file__).parents[2] / "shared"
REAL_MODELS = ("yolo-fastest-1.1.cfg", "yolox_nano.onnx")
REAL_IMAGES = ("data/coco-val100/images", "data/coco-train128/images")
#: What `make demo` makes.
DEMO_IMAGES = Path("dataset")
#: Differing images that are named before the rest are only counted.
NAMED = 10

#: A table that goes into a file is not folded to a terminal's width.
console = Console(width=None if sys.stdout.isatty() else 160)


def speedup(  # noqa: PLR0913, PLR0917 - each is one option of the command line
    detector: Annotated[
        list[str] | None, typer.Option(help="NAME, PATH or NAME=PATH; repeatable. [hog, and what --models has]")
    ] = None,
    models: Annotated[Path, typer.Option(help="A folder that may hold the real models.")] = SHARED / "models",
    images: Annotated[
        list[Path] | None, typer.Option(help="Folder of images; repeatable. [real ones, else dataset/]")
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Images; folders with fewer are gone through again.")] = 300,
    per_call_count: Annotated[
        int | None, typer.Option(min=1, help="Images for pool-per-call, which is slow. [as many]")
    ] = None,
    repeat: Annotated[int, typer.Option(min=1, help="Rounds, in each of which every variant runs once.")] = 1,
    variants: Annotated[str | None, typer.Option(help=f"Some of {','.join(NAMES)}. [all but ray]")] = None,
    peers: Annotated[bool, typer.Option("--peers", help="Ray Data too.")] = False,
    processes: Annotated[int, typer.Option(min=0, help="Processes or threads; 0: one a core.")] = 0,
    output: Annotated[Path, typer.Option(help="Where table, plot and numbers go.")] = Path("bench-results"),
) -> None:
    """The same images through a loop, threads, pools and the pipeline."""
    plan = Plan(
        detectors=tuple(_absolute(text) for text in detector or _detectors(models)),
        variants=_variants(variants, peers),
        folders=tuple(images or _folders()),
        count=count,
        per_call_count=min(per_call_count or count, count),
        repeat=repeat,
        processes=processes or machine.cores(),
    )
    facts = machine.describe()
    console.print(facts.sentence(), highlight=False)
    if not facts.quiet:
        console.print(f"[yellow]other work runs here (load {facts.load}): the numbers will say less[/]")
    comparisons = _compare_all(plan, facts, output)
    lines = [f"{one.detector}: {line}" for one in comparisons for line in one.differences]
    if lines:
        raise ManyeyesError(_complaint(lines))
    console.print("All variants found the same, box by box.")


def _compare_all(plan: Plan, facts: Machine, output: Path) -> list[Comparison]:
    """One detector after the other; what is measured is on disk before the next begins."""
    from benchmarks import plot

    output.mkdir(parents=True, exist_ok=True)
    numbers, picture = output / "speedup.json", output / "speedup.png"
    comparisons: list[Comparison] = []
    with scratch(plan) as folder, console.status("") as status:
        for detector in plan.detectors:
            comparisons.append(compare(detector, plan, folder, status.update))
            console.print()
            console.print(table(comparisons[-1]))
            found = {
                "plan": asdict(plan),
                "machine": asdict(facts),
                "detectors": [asdict(one) for one in comparisons],
            }
            numbers.write_text(json.dumps(found, indent=1, default=str) + "\n")
            plot.draw(comparisons, _caption(plan, facts), picture)
    console.print(f"\n{numbers}\n{picture}", highlight=False)
    return comparisons


def _caption(plan: Plan, facts: Machine) -> str:
    rounds = "1 round" if plan.repeat == 1 else f"medians of {plan.repeat} interleaved rounds"
    return f"{plan.count:,} images, {plan.processes} processes, {rounds}\n{facts.sentence()}"


def _complaint(lines: Sequence[str]) -> str:
    more = f" (and {len(lines) - NAMED:,} more)" if len(lines) > NAMED else ""
    return f"variants differ in {len(lines):,} images, so their speeds say nothing{more}: {'; '.join(lines[:NAMED])}"


def _detectors(models: Path) -> list[str]:
    return ["hog", *(str(models / name) for name in REAL_MODELS if (models / name).is_file())]


def _absolute(text: str) -> str:
    """A path holds in whatever folder a variant runs."""
    name, equals, path = text.rpartition("=")
    return f"{name}{equals}{Path(path).absolute()}" if Path(path).is_file() else text


def _folders() -> list[Path]:
    real = [SHARED / name for name in REAL_IMAGES if (SHARED / name).is_dir()]
    if not real and not DEMO_IMAGES.is_dir():
        raise UsageError(f"no images: {DEMO_IMAGES}/ is not there; run `make demo`, or name a folder with --images")
    return real or [DEMO_IMAGES]


def _variants(text: str | None, peers: bool) -> tuple[str, ...]:
    """In the order of NAMES."""
    wanted = {name.strip() for name in text.split(",")} if text else set(NAMES) - set(PEERS)
    wanted |= set(PEERS) if peers else set()
    if unknown := wanted - set(NAMES):
        raise UsageError(f"--variants {', '.join(sorted(unknown))}: not known; choose of {','.join(NAMES)}")
    if "ray" in wanted and find_spec("ray") is None:
        raise UsageError("Ray is not installed; `make bench-peers` installs it, or: pip install 'manyeyes[peers]'")
    return tuple(name for name in NAMES if name in wanted)


def main() -> None:
    """An error is one line, as `producer` has it."""
    try:
        typer.run(speedup)
    except ManyeyesError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
