"""Finds where a TIFF's first directory ends, by which a file that was cut is told from a broken one."""

from __future__ import annotations

import struct

#: Bytes of a value, by the number of its type.
_TYPE_BYTES = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8)


def directory_end(data: bytes) -> int:
    """Where the first directory, or the last value that it points to, ends: beyond the data of a file that was cut."""
    order = "<" if data.startswith(b"I") else ">"
    big = 43 in data[2:4]
    try:
        at: int = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)[0]
        entries: int = struct.unpack_from(order + ("Q" if big else "H"), data, at)[0]
    except (struct.error, OverflowError):
        return len(data) + 1
    entry = struct.Struct(order + ("HHQQ" if big else "HHII"))
    at += 8 if big else 2
    end = at + entries * entry.size
    for number in range(min(entries, 4096)):
        if at + (number + 1) * entry.size > len(data):
            break
        _, kind, count, value = entry.unpack_from(data, at + number * entry.size)
        size = count * (_TYPE_BYTES[kind] if kind < len(_TYPE_BYTES) else 0)
        if size > (8 if big else 4):
            end = max(end, value + size)
    return end
