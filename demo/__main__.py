"""`make demo`: a dataset with a known truth made, looked at by two detectors, and scored. All of it real."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

#: Where runs of the demo go, so that `runs/` holds the user's own.
RUNS = Path("demo-runs")
BIN = Path(sys.executable).parent


def step(*command: str | Path) -> None:
    """Show a command as the user would type it, and run it; its own exit code ends the demo if it fails."""
    program, *arguments = map(str, command)
    print(f"\n$ {Path(program).name} {' '.join(arguments)}", flush=True)
    done = subprocess.run([program, *arguments], check=False)
    if done.returncode:
        sys.exit(done.returncode)


def latest() -> Path:
    return max(RUNS.glob("*/run.json")).parent


def main() -> None:
    dataset = Path(sys.argv[1] if len(sys.argv) > 1 else "dataset")
    step(sys.executable, "-m", "demo.make_dataset", dataset)
    for arguments in ([dataset], [dataset / "faces", "--detector", "cascade"]):
        step(BIN / "producer", "submit", *arguments, "--output", RUNS)
        step(sys.executable, "-m", "demo.score", latest(), dataset / "truth.json")
    print(f"\nThe pictures to look at:  {latest().parent}/*/preview.jpg")
    print(f"Now your own:  producer submit {dataset}/   or any folder of photographs")


if __name__ == "__main__":
    main()
