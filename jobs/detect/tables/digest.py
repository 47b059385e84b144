"""The first two tables in, batch by batch; one SHA-256 over their content out."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.detect.tables.schema import DETECTIONS, IMAGES

#: Words for people; two runs over the same bytes may word an error differently.
_ASIDE = {"error"}


class TableDigest:
    """SHA-256 over values, not over Parquet: it does not change with pyarrow, row groups or compression.

    Each column has two streams: what is there (one byte a value, or an int64 length for text, -1 for null), and
    the values themselves (little-endian numbers with 0 for null, UTF-8 or raw bytes). The digest is taken over the
    streams' own digests, with the tables' and columns' names and types, in order.
    """

    def __init__(self) -> None:
        self._streams: dict[tuple[str, str, str], tuple[Any, Any]] = {}
        # A table without rows has streams too: no row group ever reports them.
        self.update("images", IMAGES.empty_table())
        self.update("detections", DETECTIONS.empty_table())

    def update(self, name: str, table: pa.Table) -> None:
        """Adds a table's next rows. `name` is `images` or `detections`."""
        for field, column in zip(table.schema, table.columns, strict=True):
            if field.name in _ASIDE:
                continue
            key = (name, field.name, str(field.type))
            presence, content = self._streams.setdefault(key, (hashlib.sha256(), hashlib.sha256()))
            for chunk in column.chunks:
                _update(presence, content, chunk)

    def hexdigest(self) -> str:
        whole = hashlib.sha256()
        for key, streams in sorted(self._streams.items()):
            whole.update("\0".join((*key, *(stream.hexdigest() for stream in streams), "")).encode())
        return whole.hexdigest()


def _update(presence: Any, content: Any, array: pa.Array) -> None:
    if pa.types.is_string(array.type) or pa.types.is_binary(array.type):
        lengths = pc.fill_null(pc.binary_length(array), -1)
        presence.update(lengths.to_numpy(zero_copy_only=False).astype("<i8").data)
        filled = pc.fill_null(array.cast(pa.binary()), b"")
        _, offsets, data = filled.buffers()
        if data is not None:
            ends = np.frombuffer(offsets, np.int32)[filled.offset : filled.offset + len(filled) + 1]
            content.update(memoryview(data)[int(ends[0]) : int(ends[-1])])
        return
    presence.update(pc.is_valid(array).to_numpy(zero_copy_only=False).astype(np.uint8).data)
    values = pc.fill_null(array, 0).to_numpy(zero_copy_only=False)
    content.update(np.ascontiguousarray(values, values.dtype.newbyteorder("<")).data)
