"""Blocks in; one CSV file with exactly the columns of `detections.parquet` out (RFC 4180, UTF-8, lines end in LF)."""

from __future__ import annotations

import re
from pathlib import Path

from common.atomic_files import atomic_file
from jobs.detect.exports.blocks import Block, Source, join, take, texts, utf8
from jobs.detect.tables.schema import DETECTIONS

_NEEDS_QUOTES = re.compile(r'[",\r\n]')


def write(source: Source, destination: Path) -> list[Path]:
    labels = [_field(label) for label in source.spec.labels]
    with atomic_file(destination) as file:
        file.write((",".join(DETECTIONS.names) + "\n").encode())
        for block in source.blocks():
            file.write(_lines(block, labels))
    return [destination]


def _lines(block: Block, labels: list[str]) -> memoryview:
    detections = block.detections
    paths = take((_field(path) for path in block.images["path"].to_pylist()), block.owners)
    columns = {"path": paths, "label": take(labels, detections["class_id"].to_numpy())}
    parts = []
    for name in DETECTIONS.names:
        parts += [columns[name] if name in columns else texts(detections[name]), ","]
    return utf8(join(*parts[:-1], "\n"))


def _field(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if _NEEDS_QUOTES.search(text) else text
