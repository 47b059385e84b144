"""Item rows in, in item order; `images`, `detections` and `timings` in Parquet, and their digest, out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import os_errors
from common.atomic_files import publish
from common.errors import ManyeyesError
from common.protocol.messages import DetectionArray, ItemRecord
from common.protocol.spec import Spec

IMAGES_FILE = "images.parquet"
DETECTIONS_FILE = "detections.parquet"
TIMINGS_FILE = "timings.parquet"

#: Items, and detections, of which the first to be reached ends a block. A block is one row group of each table, so
#: that memory is bounded for any dataset and the bytes do not depend on how the rows arrived.
BLOCK_ITEMS = 8192
BLOCK_DETECTIONS = 1 << 15


@dataclass(frozen=True, slots=True, eq=False)
class ItemRow:
    """One item of a run; the tables hold every item of the manifest exactly once.

    `path` is relative, raw bytes. `record` is None while pending. `detections` (DETECTION_DTYPE, its `row` unused) are
    ordered by score descending, class, box.
    """

    item: int
    path: bytes
    record: ItemRecord | None
    detections: DetectionArray
    shard: str = ""
    attempt: int = 0
    worker: str = ""
    process: int = 0


@dataclass(frozen=True, slots=True)
class TablesSummary:
    """What the tables hold. `detections` is what the spec's own conf, classes and max_det show."""

    items: int
    ok: int
    failed: int
    pending: int
    detections: int
    errors: dict[str, int]
    #: Images of more than 8 bits a channel, which were mapped to 8.
    deep: int
    digest: str
    #: All detections, down to the floor.
    stored: int


def write_tables(rows: Iterable[ItemRow], spec: Spec, folder: Path) -> TablesSummary:
    """Writes the three tables and gives them their names once all are complete and on disk.

    Raises ManyeyesError for rows that are not in item order without a gap.
    """
    from jobs.detect.tables import schema as columns
    from jobs.detect.tables.digest import TableDigest

    digest, statuses, errors, shown, stored = TableDigest(), Counter[str](), Counter[str](), 0, 0
    deep = 0
    with _writers(folder) as write:
        for block in _blocks(rows):
            images, detections, timings = columns.build(block, spec)
            write(images, detections, timings)
            digest.update("images", images)
            digest.update("detections", detections)
            stored += detections.num_rows
            shown += int(images["detections"].to_numpy().sum())
            statuses.update(images["status"].to_pylist())
            errors.update(images["error_code"].drop_null().to_pylist())
            deep += sum(row.record is not None and row.record.deep for row in block)
    return TablesSummary(
        items=statuses.total(),
        ok=statuses["ok"],
        failed=statuses["failed"],
        pending=statuses["pending"],
        detections=shown,
        errors=dict(sorted(errors.items())),
        deep=deep,
        digest=digest.hexdigest(),
        stored=stored,
    )


@contextmanager
def _writers(folder: Path) -> Iterator[Callable[..., None]]:
    """A function that appends one row group to each table. The files appear when the block ends without an error."""
    import pyarrow.parquet as pq

    from jobs.detect.tables.schema import DETECTIONS, DICTIONARY_COLUMNS, IMAGES, TIMINGS

    files: list[tuple[Any, Path, Path]] = []
    with os_errors.naming(folder), ExitStack() as stack:
        for name, schema in ((IMAGES_FILE, IMAGES), (DETECTIONS_FILE, DETECTIONS), (TIMINGS_FILE, TIMINGS)):
            # The owner's lease makes this the only writer, so a fixed name clears up after one that was killed.
            part = folder / f".{name}.part"
            stack.callback(part.unlink, missing_ok=True)
            dictionary = [column for column in DICTIONARY_COLUMNS if column in schema.names]
            writer = pq.ParquetWriter(part, schema, compression="zstd", use_dictionary=dictionary)
            files.append((stack.enter_context(writer), part, folder / name))

        def write(*tables: Any) -> None:
            for (writer, _, _), table in zip(files, tables, strict=True):
                if table.num_rows:
                    writer.write_table(table)

        yield write
        for writer, part, final in files:
            writer.close()
            publish(part, final)


def read_images(folder: Path, columns: list[str] | None = None) -> Iterator[Any]:
    """The images as pyarrow Tables, one a row group, with these columns or all. Raises ManyeyesError if absent."""
    return _read(folder / IMAGES_FILE, columns)


def read_detections(folder: Path, columns: list[str] | None = None) -> Iterator[Any]:
    """The detections as pyarrow Tables, one a row group, which never cuts an image in two."""
    return _read(folder / DETECTIONS_FILE, columns)


def table_digest(folder: Path) -> str:
    """The digest that `write_tables` gave, taken again from the files."""
    from jobs.detect.tables.digest import TableDigest

    digest = TableDigest()
    for table in read_images(folder):
        digest.update("images", table)
    for table in read_detections(folder):
        digest.update("detections", table)
    return digest.hexdigest()


def open_table(path: Path) -> Any:
    """A pyarrow ParquetFile. Raises ManyeyesError for one that is missing, broken or of another schema version."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from jobs.detect.tables.schema import SCHEMA_VERSION

    try:
        file = pq.ParquetFile(path, pre_buffer=False)
    except FileNotFoundError:
        raise ManyeyesError(f"{path} is not there; `producer resume` finishes the run and writes it") from None
    except (pa.ArrowException, OSError) as error:
        raise ManyeyesError(f"{path} cannot be read ({error}); `producer resume` writes it again") from None
    version = (file.schema_arrow.metadata or {}).get(b"manyeyes.schema", b"none").decode()
    if version != str(SCHEMA_VERSION):
        raise ManyeyesError(
            f"{path} has schema version {version}, this producer reads {SCHEMA_VERSION}; use the one that wrote it"
        )
    return file


def _read(path: Path, columns: list[str] | None) -> Iterator[Any]:
    with open_table(path) as file:
        for number in range(file.num_row_groups):
            yield file.read_row_group(number, columns=columns, use_threads=False)


def _blocks(rows: Iterable[ItemRow]) -> Iterator[list[ItemRow]]:
    block: list[ItemRow] = []
    detections = 0
    for expected, row in enumerate(rows):
        if row.item != expected:
            raise ManyeyesError(f"item {row.item} came where {expected} was due: the run's journal is damaged")
        block.append(row)
        detections += len(row.detections)
        if len(block) >= BLOCK_ITEMS or detections >= BLOCK_DETECTIONS:
            yield block
            block, detections = [], 0
    if block:
        yield block
