"""`python -m chaos.fuzz`: mutants into a folder, the folder through `producer submit`, and what became of them out."""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from chaos.fuzz.originals import Breeder, made, real
from chaos.fuzz.reading import is_unforeseen
from chaos.fuzz.watch import Watch
from common.errors import ExitCode, ManyeyesError

#: Seconds between looks at the processes: some milliseconds each.
LOOK_S = 0.25
#: Pixels. A tenth of what `producer submit` takes by default, so that the bound on memory is tight.
MAX_PIXELS = 20_000_000
#: Bytes. Three times what a pool process holds before any image; and for each pixel that may be declared. Files that
#: lie about their size have cost up to 7 bytes a pixel; 16 bits a channel, turned, would cost 15.
BASE_MEMORY = 300 << 20
PIXEL_MEMORY = 16
#: Bytes. Producer, broker and Celery's parent hold no image.
OTHER_MEMORY = 400 << 20


@dataclass(frozen=True, slots=True)
class Ran:
    said: dict[str, Any]
    run: Path
    seconds: float
    watch: Watch


def main() -> None:
    options = _options()
    # So that the run and the temporary folder end with this command.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    logging.getLogger("PIL").setLevel(logging.CRITICAL + 1)
    warnings.filterwarnings("ignore", module=r"PIL\.")
    with tempfile.TemporaryDirectory() as scratch:
        home = options.folder or Path(scratch)
        try:
            breeder = Breeder.of(_originals(options.data), options.seed)
            _write(breeder, options.count, home / "mutants")
            ran = _submit(home, options.max_pixels)
        except ManyeyesError as error:
            sys.exit(f"error: {error}")
        rows = pq.read_table(ran.run / "images.parquet").to_pylist()
        _print(rows, ran)
        faults = _faults(rows, ran, options)
    for fault in faults:
        print(f"FAULT: {fault}")
    print(f"seed {options.seed}: " + ("; ".join(faults[:1]) or "every mutant is one row, and no process was lost"))
    sys.exit(bool(faults))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m chaos.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="mutants (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed, the same mutants (default: %(default)s)")
    parser.add_argument("--data", type=Path, help="folder of real images to damage; formats that it lacks are made")
    parser.add_argument("--max-pixels", type=int, default=MAX_PIXELS, help="as of `producer submit` (%(default)s)")
    parser.add_argument("--folder", type=Path, help="keep mutants and run there (default: a temporary folder)")
    return parser.parse_args()


def _originals(data: Path | None) -> Any:
    if data is None:
        return made()
    if not (found := real(data)):
        raise ManyeyesError(f"no image of a usable size below {data}; give another --data")
    kinds = {original.kind for original in found}
    return (*found, *(original for original in made() if original.kind not in kinds))


def _write(breeder: Breeder, count: int, folder: Path) -> None:
    """All are named .jpg: the folder's listing goes by names, the worker by content."""
    folder.mkdir(parents=True)
    for number in range(count):
        (folder / f"{number:06d}.jpg").write_bytes(breeder.mutant(number).data)
    files = sum(len(originals) for originals in breeder.originals.values())
    kinds = ", ".join(f"{kind} {len(originals)}" for kind, originals in breeder.originals.items())
    print(f"{count} mutants of {files} files ({kinds}), seed {breeder.seed}", flush=True)


def _submit(home: Path, max_pixels: int) -> Ran:
    """Raises ManyeyesError where the run does not end as one in which some images failed."""
    command = [str(Path(sys.executable).with_name("producer")), "submit", "mutants", "--detector", "cascade", "--json"]
    command += ["--max-pixels", str(max_pixels), "--format", "csv"]
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("MANYEYES_", "CELERY_"))}
    watch, started = Watch(), time.monotonic()
    with tempfile.TemporaryFile("w+") as out, (home / "producer.log").open("w") as log:
        child = subprocess.Popen(command, cwd=home, env=mine, stdin=subprocess.DEVNULL, stdout=out, stderr=log)
        try:
            while child.poll() is None:
                watch.look(child.pid)
                try:
                    child.wait(LOOK_S)
                except subprocess.TimeoutExpired:
                    continue
        finally:
            if child.poll() is None:
                child.terminate()
                child.wait()
        seconds = time.monotonic() - started
        out.seek(0)
        text = out.read()
    if child.returncode not in (ExitCode.OK, ExitCode.SOME_FAILED):
        words = (home / "producer.log").read_text().strip().splitlines()[-2:]
        raise ManyeyesError(f"`{' '.join(command)}` ended with {child.returncode}: {' '.join(words)}")
    said = json.loads(text)
    return Ran(said, home / said["run_dir"], seconds, watch)


def _faults(rows: list[dict[str, Any]], ran: Ran, options: argparse.Namespace) -> list[str]:
    faults = []
    expected = [f"{number:06d}.jpg" for number in range(options.count)]
    if [row["path"] for row in rows] != expected:
        faults.append(f"{len(rows)} rows for {options.count} mutants, or not one each")
    if unforeseen := [
        f"{row['path']} ({row['error']})" for row in rows if is_unforeseen(row["error_code"], row["error"])
    ]:
        faults.append(f"unforeseen: {', '.join(unforeseen)}")
    if unfinished := [row["path"] for row in rows if row["status"] not in ("ok", "failed")]:
        faults.append(f"not done: {', '.join(unfinished)}")
    timings = pq.read_table(ran.run / "timings.parquet", columns=["process", "attempt"]).to_pydict()
    if max(timings["attempt"]) > 1:
        faults.append("shards were sent again")
    if died := ran.watch.died():
        faults.append(f"pool processes died: {sorted(died)}")
    # Rows of images that were given up name no process.
    if unseen := set(timings["process"]) - ran.watch.pool() - {0}:
        faults.append(f"processes that were never seen: {sorted(unseen)}")
    if "exited prematurely" in "".join(log.read_text(errors="replace") for log in ran.run.rglob("worker.log")):
        faults.append("Celery has replaced a process; see worker.log")
    most = BASE_MEMORY + PIXEL_MEMORY * options.max_pixels
    for role, peak in ran.watch.peaks().items():
        if peak > (bound := most if role == "process" else OTHER_MEMORY):
            faults.append(f"{role}: {peak >> 20} MiB, over the bound of {bound >> 20}")
    return faults


def _print(rows: list[dict[str, Any]], ran: Ran) -> None:
    codes = Counter(row["error_code"] or "(looked at)" for row in rows)
    print("\n| outcome | images |\n|---|---|")
    for code, count in codes.most_common():
        print(f"| {code} | {count} |")
    print(f"\nwhole command {ran.seconds:.1f} s, {ran.said['images_per_s']:.1f} images/s")
    print("\n| process | number | largest MiB |\n|---|---|---|")
    for role, peak in ran.watch.peaks().items():
        number = sum(seen.role == role for seen in ran.watch.seen.values())
        print(f"| {role} | {number} | {peak / (1 << 20):.0f} |")
    print()


if __name__ == "__main__":
    main()
