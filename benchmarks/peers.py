"""Ray Data in the pipeline's place: paths in, Parquet out, by the same detector class in a pool of actors.

A command of its own: `python -m benchmarks.peers DETECTOR FOLDER PROCESSES REPORT`; needs the extra `peers`.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import looking
from benchmarks.looking import Seen
from benchmarks.report import Report
from benchmarks.sameness import failure, fingerprint

#: Images that an actor is given at once.
BATCH = 32
#: Bytes. Ray would take a third of the memory; only paths and boxes go through it here.
OBJECT_STORE_BYTES = 300 << 20

ROWS = pa.schema(
    {
        "name": pa.string(),
        "error_code": pa.string(),
        "boxes": pa.list_(pa.float32()),
        "scores": pa.list_(pa.float32()),
        "class_ids": pa.list_(pa.int32()),
        "began": pa.float64(),
        "ended": pa.float64(),
    }
)


class DetectActor:
    """Loads the detector once; a batch of paths in, a row an image out."""

    def __init__(self, detector: str) -> None:
        self._looker = looking.load(detector)

    def __call__(self, batch: pa.Table) -> pa.Table:
        seen = [self._looker.look(Path(path)) for path in batch["item"].to_pylist()]
        return pa.Table.from_pylist([_row(one) for one in seen], ROWS)


def _row(seen: Seen) -> dict[str, object]:
    row: dict[str, object] = {"name": seen.name, "began": seen.began, "ended": seen.ended}
    if isinstance(seen.found, str):
        return {**row, "error_code": seen.found}
    found = seen.found
    return {**row, "boxes": found.boxes.ravel(), "scores": found.scores, "class_ids": found.class_ids}


def detect(detector: str, paths: Sequence[Path], processes: int, to: Path) -> None:
    """One actor a core, and files in `to`."""
    import ray

    # In /tmp, since a socket's path is at most 107 bytes, and Ray makes a long one of it.
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        ray.init(
            num_cpus=processes,
            object_store_memory=OBJECT_STORE_BYTES,
            include_dashboard=False,
            log_to_driver=False,
            _temp_dir=folder,
        )
        _map(detector, paths, processes, to)
        ray.shutdown()


def _map(detector: str, paths: Sequence[Path], processes: int, to: Path) -> None:
    import ray

    ray.data.from_items([str(path) for path in paths]).map_batches(
        DetectActor,
        fn_constructor_args=(detector,),
        compute=ray.data.ActorPoolStrategy(size=processes),
        batch_size=BATCH,
        batch_format="pyarrow",
    ).write_parquet(str(to))


def report_of(folder: Path) -> Report:
    """What the files say. The last result is there when the last image is done, which is kind to Ray: it may not yet
    be written."""
    table = pq.read_table(folder)
    fingerprints = {}
    for row in table.to_pylist():
        boxes = np.asarray(row["boxes"] or [], np.float32).reshape(-1, 4)
        scores, class_ids = np.asarray(row["scores"] or [], np.float32), np.asarray(row["class_ids"] or [], np.int32)
        found = failure(row["error_code"]) if row["error_code"] else fingerprint(boxes, scores, class_ids)
        fingerprints[row["name"]] = found
    began, ended = table["began"].to_numpy().min(), table["ended"].to_numpy().max()
    return Report(began=float(began), first=None, ended=float(ended), fingerprints=fingerprints)


def main(arguments: Sequence[str]) -> None:
    detector, folder, processes, report = arguments
    to = Path(report).parent / "parquet"
    detect(detector, sorted(Path(folder).iterdir()), int(processes), to)
    report_of(to).write(Path(report))


if __name__ == "__main__":
    main(sys.argv[1:])
