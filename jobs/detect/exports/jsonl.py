"""Blocks in; JSON Lines out: one object an image, `detections` [] where there are none and null where it failed."""

from __future__ import annotations

import json
from pathlib import Path

from common.atomic_files import atomic_file
from jobs.detect.exports.blocks import Block, Source, join, quoted, take, texts


def write(source: Source, destination: Path) -> list[Path]:
    labels = [quoted(label) for label in source.spec.labels]
    with atomic_file(destination) as file:
        for block in source.blocks():
            file.write("".join(_lines(block, labels)).encode())
    return [destination]


def _lines(block: Block, labels: list[str]) -> list[str]:
    objects, bounds = _objects(block, labels), block.bounds
    lines = []
    for place, image in enumerate(block.images.drop_columns(["path_bytes"]).to_pylist()):
        found = "null"
        if image["status"] == "ok":
            found = f"[{', '.join(objects[bounds[place] : bounds[place + 1]])}]"
        lines.append(f'{json.dumps(image)[:-1]}, "detections": {found}}}\n')
    return lines


def _objects(block: Block, labels: list[str]) -> list[str]:
    detections = block.detections
    parts = ['{"label": ', take(labels, detections["class_id"].to_numpy())]
    for name in ("class_id", "score", "x1", "y1", "x2", "y2"):
        parts += [f', "{name}": ', texts(detections[name])]
    objects: list[str] = join(*parts, "}").to_pylist()
    return objects
