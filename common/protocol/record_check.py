"""Packed records of a result in; ValueError for those that no worker writes: a table of them could not be written."""

from __future__ import annotations

import math
from typing import Any

from common.limits import MAX_ERROR_CHARS, MAX_INSTANT

#: A record's columns: their type, and what their numbers stay below, or the most characters of their texts.
_COLUMNS: tuple[tuple[type, float], ...] = (
    *((int, 1 << 63), (str, 64), (int, 1 << 31), (int, 1 << 31), (int, 1 << 7), (str, 64), (str, MAX_ERROR_CHARS)),
    *[(float, MAX_INSTANT)] * 6,
    (bool, 2),
)
#: Columns of the records that protocol 2 left in journals.
_OLD_COLUMNS = len(_COLUMNS) - 1


def check(rows: list[list[Any]]) -> None:
    """Column by column: an owner reads thousands of records a second. Raises ValueError and the like."""
    columns = [*zip(*rows, strict=True)]
    known = _COLUMNS[:_OLD_COLUMNS] if len(columns) == _OLD_COLUMNS else _COLUMNS
    for (kind, most), column in zip(known, columns, strict=True):
        there = [one for one in column if one is not None]
        kinds = set(map(type, there))
        if not kinds <= ({int, float} if kind is float else {kind}) or (
            kind in (float, bool) and len(there) < len(rows)
        ):
            raise ValueError("a record with a value of another type")
        # A sum is no number where one of them is none; and what has no bytes is no text.
        good = "".join(there).encode() is not None if kind is str else math.isfinite(sum(there))
        sizes = [*map(len, there)] if kind is str else there
        if there and not (good and min(sizes) >= 0 and max(sizes) < most + (kind is str)):
            raise ValueError("a record with a value out of all bounds")
