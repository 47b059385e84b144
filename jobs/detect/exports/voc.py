"""Blocks in; Pascal VOC XML files out, one an image: integer pixels, counted from 1, both ends inside the box."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from common.atomic_files import atomic_folder
from jobs.detect.exports.blocks import Source
from jobs.detect.exports.folder_tree import check_stems, write_beside

#: Characters that XML 1.0 cannot hold, even escaped, and the carriage return, which its readers change.
_NOT_IN_XML = re.compile("[\x00-\x08\x0b-\x1f\ud800-\udfff\ufffe\uffff]")


def write(source: Source, destination: Path) -> list[Path]:
    """A file for every image that was looked at, none for a failed one. Raises UsageError for equal stems."""
    check_stems(source)
    with atomic_folder(destination) as folder:
        for block in source.blocks():
            detections, bounds = block.detections, block.bounds
            for number, (path, image) in enumerate(zip(block.raw_paths, block.images.to_pylist(), strict=True)):
                if image["status"] == "ok":
                    first, end = bounds[number], bounds[number + 1]
                    rows = detections.slice(first, end - first).to_pylist() if end > first else []
                    tree = _annotation(image, rows)
                    ElementTree.indent(tree)
                    text = ElementTree.tostring(tree, encoding="utf-8", xml_declaration=True)
                    write_beside(folder, path, ".xml", text + b"\n")
    return [destination]


def _annotation(image: dict[str, Any], detections: list[dict[str, Any]]) -> ElementTree.Element:
    root = ElementTree.Element("annotation")
    folder, _, name = image["path"].rpartition("/")
    _add(root, "folder", folder)
    _add(root, "filename", name)
    size = _add(root, "size")
    for tag, value in (("width", image["width"]), ("height", image["height"]), ("depth", 3)):
        _add(size, tag, value)
    _add(root, "segmented", 0)
    for detection in detections:
        found = _add(root, "object")
        _add(found, "name", detection["label"])
        _add(found, "score", f"{detection['score']:.6f}")
        for tag, value in (("pose", "Unspecified"), ("truncated", 0), ("difficult", 0)):
            _add(found, tag, value)
        box = _add(found, "bndbox")
        xmin, xmax = _span(detection["x1"], detection["x2"], image["width"])
        ymin, ymax = _span(detection["y1"], detection["y2"], image["height"])
        for tag, value in (("xmin", xmin), ("ymin", ymin), ("xmax", xmax), ("ymax", ymax)):
            _add(box, tag, value)
    return root


def _span(low: float, high: float, size: int) -> tuple[int, int]:
    """First and last pixel, counted from 1, of low..high, where 0..size is the whole side.

    So a reader that takes 1 from the minima alone, as Detectron2's and torchvision's do, has our edges back.
    """
    first = min(math.floor(low + 0.5) + 1, size)
    return first, max(first, min(math.floor(high + 0.5), size))


def _add(parent: ElementTree.Element, tag: str, value: object = None) -> ElementTree.Element:
    child = ElementTree.SubElement(parent, tag)
    if value is not None:
        child.text = _NOT_IN_XML.sub(lambda match: f"\\x{ord(match[0]):02x}", str(value))
    return child
