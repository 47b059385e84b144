"""What several formats say of a file that is not decoded."""

from __future__ import annotations

from common.errors import ItemCode, ItemError

#: Of numbers of a type that says neither what is black nor what is white.
NO_RANGE = "such values have no range of their own; give one, --scale MIN:MAX or --scale 2%:98%"


def truncated(data: bytes) -> ItemError:
    text = f"the file ends early, after {len(data)} bytes; copy or download it again"
    return ItemError(ItemCode.TRUNCATED, text)


def unsupported(what: str) -> ItemError:
    text = f"{what}: this kind of image is not decoded; convert it to an RGB PNG or JPEG"
    return ItemError(ItemCode.UNSUPPORTED, text)


def corrupt(kind: str, why: str = "") -> ItemError:
    words = f": {why}" if why else ""
    return ItemError(ItemCode.CORRUPT, f"the {kind} is broken{words}; copy or download the file again")
