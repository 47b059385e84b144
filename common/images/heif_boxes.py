"""Reads which picture of a HEIC or AVIF file is meant, its size, turning and depth, and where its bytes lie.

Nothing is decoded. ISO/IEC 23008-12 describes the format; boxes have the names that they have there.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

#: Items that one picture may be made of, as in libheif; a walk through a damaged file ends here.
MOST_PARTS = 1000
#: EXIF's code of each pair of (mirrored left to right first, then turned clockwise by so many quarters).
_EXIF_CODES = {
    (False, 0): 1,
    (False, 1): 6,
    (False, 2): 3,
    (False, 3): 8,
    (True, 0): 2,
    (True, 1): 7,
    (True, 2): 4,
    (True, 3): 5,
}


#: Bytes before the size in the data of a composed picture: version, flags, and rows and columns or a colour.
_COMPOSED = {b"grid": 4, b"iovl": 10}
#: Bytes of these data that are kept.
_START = 32
#: Bytes. A list of MOST_PARTS items takes a tenth of it.
_LONGEST_LIST = 1 << 20


class BoxError(Exception):
    """The boxes are broken, or, with `no_picture`, they hold no still picture."""

    def __init__(self, text: str, no_picture: bool = False) -> None:
        super().__init__(text)
        self.no_picture = no_picture


@dataclass(frozen=True, slots=True)
class Box:
    name: bytes
    body: bytes


@dataclass(slots=True)
class Item:
    """One coded picture, or one that is made of others."""

    kind: bytes = b""
    properties: list[Box] = field(default_factory=list)
    #: Numbers of the items that it is made of.
    parts: list[int] = field(default_factory=list)
    #: Bytes. Where in the file the last of its data end; 0 for data that lie elsewhere.
    end: int = 0
    #: Its data's first bytes.
    start: bytes = b""

    def has(self, name: bytes) -> list[bytes]:
        return [box.body for box in self.properties if box.name == name]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as coded. Raises BoxError."""
        for body in self.has(b"ispe"):
            width, height = _unpack(">II", body, 4)
            return width, height
        raise BoxError("a picture without a size")

    def check(self) -> None:
        """What a composed picture says in its data must be its size: the decoder asks for so much memory.

        Raises BoxError.
        """
        before = _COMPOSED.get(self.kind)
        if before is not None:
            [wide] = _unpack(">B", self.start, 1)
            if _unpack(">II" if wide & 1 else ">HH", self.start, before) != self.size:
                raise BoxError("a composed picture of two sizes")


@dataclass(frozen=True)
class Picture:
    """The primary item of a file, and all that it is made of, itself first."""

    parts: tuple[Item, ...]
    #: Width and height of the largest picture in the file, alpha and thumbnails included, as a decoder must hold it.
    largest: tuple[int, int]
    #: Bytes. Where in the file the last of any item's data end.
    end: int

    @property
    def kinds(self) -> set[bytes]:
        return {part.kind for part in self.parts}

    @property
    def bits(self) -> int:
        """A channel's bits: the most that any part has, as its decoder's configuration says."""
        return max(_bits(part) for part in self.parts)

    @cached_property
    def seen(self) -> tuple[int, int, int | None]:
        """Width and height as a person sees them, and the EXIF code of the turning, None where nothing turns.

        Properties are applied in the order that the file gives. Raises BoxError.
        """
        width, height = self.parts[0].size
        mirrored, quarters, turned = False, 0, False
        for box in self.parts[0].properties:
            if box.name == b"clap":
                width, height = _cropped(box.body, width, height)
            elif box.name == b"irot":
                [turns] = _unpack(">B", box.body, 0)
                turned = True
                quarters = (quarters - turns) % 4  # the file counts against the clock
                if turns % 2:
                    width, height = height, width
            elif box.name == b"imir":
                [axis] = _unpack(">B", box.body, 0)
                turned = True
                # Top to bottom is left to right and half a turn. What was turned before is turned the other way now.
                mirrored, quarters = not mirrored, (-quarters + (0 if axis & 1 else 2)) % 4
        return width, height, _EXIF_CODES[mirrored, quarters] if turned else None


def read_picture(data: bytes) -> Picture:
    """The primary picture. Raises BoxError where there is none, or its boxes are broken."""
    meta = next((box.body for box in boxes(data) if box.name == b"meta"), None)
    if meta is None:
        raise BoxError("no still picture", no_picture=True)
    inside: dict[bytes, bytes] = {}
    for box in boxes(meta, 4):
        inside.setdefault(box.name, box.body)
    if max(len(inside.get(name, b"")) for name in (b"iinf", b"iref", b"iloc")) > _LONGEST_LIST:
        raise BoxError("a list of too many items")
    if b"pitm" not in inside:
        raise BoxError("no primary picture", no_picture=True)
    [primary] = _unpack(">I" if inside[b"pitm"][:1] > b"\0" else ">H", inside[b"pitm"], 4)
    items = _kinds(inside.get(b"iinf", b""))
    if primary not in items:
        raise BoxError("a primary picture that is not there")
    _add_properties(items, inside.get(b"iprp", b""))
    _add_parts(items, inside.get(b"iref", b""))
    _add_places(items, inside.get(b"iloc", b""), (data, inside.get(b"idat", b"")))
    if not items[primary].has(b"ispe"):
        raise BoxError("a picture without a size")
    parts = tuple(_made_of(primary, items))
    largest = max((item.size for item in items.values() if item.has(b"ispe")), key=lambda size: size[0] * size[1])
    return Picture(parts, largest, max(item.end for item in items.values()))


def boxes(data: bytes, at: int = 0) -> Iterator[Box]:
    """Boxes from `at` on; the last one is cut where the data end."""
    while at + 8 <= len(data):
        size, start = int.from_bytes(data[at : at + 4]), at + 8
        if size == 1:
            size, start = int.from_bytes(data[at + 8 : at + 16]), at + 16
        end = at + size if size else len(data)
        if end < start:
            return
        yield Box(data[at + 4 : at + 8], data[start:end])
        at = end


def _made_of(number: int, items: dict[int, Item]) -> Iterator[Item]:
    """Depth does not matter: every item once."""
    ahead, known = [number], {number}
    while ahead:
        item = items.get(ahead.pop(0))
        if item is None or len(known) > MOST_PARTS:
            raise BoxError("a picture made of one that is not there, or of too many")
        yield item
        ahead += [part for part in dict.fromkeys(item.parts) if part not in known]
        known.update(item.parts)


def _kinds(body: bytes) -> dict[int, Item]:
    items: dict[int, Item] = {}
    for box in boxes(body, 6 if body[:1] == b"\0" else 8):
        if box.name == b"infe" and box.body[:1] in (b"\2", b"\3"):
            wide = box.body[:1] == b"\3"
            [number] = _unpack(">I" if wide else ">H", box.body, 4)
            items[number] = Item(box.body[10:14] if wide else box.body[8:12])
    return items


def _add_properties(items: dict[int, Item], body: bytes) -> None:
    known: list[Box] = []
    for box in boxes(body):
        if box.name == b"ipco":
            known += boxes(box.body)
        elif box.name == b"ipma":
            if len(box.body) > _LONGEST_LIST:
                raise BoxError("a list of too many items")
            version, flags = box.body[:1] or b"\0", box.body[3:4] or b"\0"
            [entries] = _unpack(">I", box.body, 4)
            at = 8
            for _ in range(min(entries, len(box.body))):
                [number] = _unpack(">I" if version > b"\0" else ">H", box.body, at)
                at += 4 if version > b"\0" else 2
                [count] = _unpack(">B", box.body, at)
                places = _unpack(f">{count}{'H' if flags[0] & 1 else 'B'}", box.body, at + 1)
                at += 1 + count * (2 if flags[0] & 1 else 1)
                mask = 0x7FFF if flags[0] & 1 else 0x7F
                if number in items:
                    items[number].properties += [
                        known[(place & mask) - 1] for place in places if 0 < place & mask <= len(known)
                    ]


def _add_parts(items: dict[int, Item], body: bytes) -> None:
    wide = body[:1] == b"\1"
    letter = "I" if wide else "H"
    for box in boxes(body, 4):
        if box.name == b"dimg":
            number, count = _unpack(f">{letter}H", box.body, 0)
            parts = _unpack(f">{count}{letter}", box.body, 6 if wide else 4)
            if number in items:
                items[number].parts += parts


def _add_places(items: dict[int, Item], body: bytes, sources: tuple[bytes, bytes]) -> None:
    """`sources` are what places count in: the file, and a box beside the list."""
    version, (sizes, more) = body[:1], _unpack(">BB", body, 4)
    letters = {0: "", 4: "I", 8: "Q"}
    if not {sizes >> 4, sizes & 15, more >> 4} <= set(letters):
        raise BoxError("places of a size that does not exist")
    offset, length, base = letters[sizes >> 4], letters[sizes & 15], letters[more >> 4]
    index = letters.get(more & 15, "") if version in (b"\1", b"\2") else ""
    wide = version == b"\2"
    [count] = _unpack(">I" if wide else ">H", body, 6)
    at = 10 if wide else 8
    for _ in range(min(count, len(body))):
        [number] = _unpack(">I" if wide else ">H", body, at)
        at += 4 if wide else 2
        method = 0
        if version in (b"\1", b"\2"):
            method = _unpack(">H", body, at)[0] & 15
            at += 2
        start = (_unpack(f">H{base}", body, at)[1:] or (0,))[0]
        at += 2 + struct.calcsize(f">{base}")
        [extents] = _unpack(">H", body, at)
        at += 2
        # Of extents that take no bytes, one is as good as 65,535.
        for _ in range(extents if index + offset + length else min(extents, 1)):
            words = _unpack(f">{index}{offset}{length}", body, at)[len(index) :]
            at += struct.calcsize(f">{index}{offset}{length}")
            place = start + (words[0] if offset else 0)
            size = words[-1] if length else 1
            if number in items and method < len(sources):
                item = items[number]
                item.start = item.start or sources[method][place : place + min(size, _START)]
                item.end = max(item.end, place + size) if method == 0 else item.end


def _bits(item: Item) -> int:
    for body in item.has(b"hvcC"):
        return 8 + max(_unpack(">BB", body, 17)[0] & 7, _unpack(">BB", body, 17)[1] & 7)
    for body in item.has(b"av1C"):
        flags = _unpack(">B", body, 2)[0]
        return (8, 8, 10, 12)[flags >> 5 & 3]
    return 8


def _cropped(body: bytes, width: int, height: int) -> tuple[int, int]:
    across, by, down, by_too = _unpack(">4I", body, 0)
    if not by or not by_too:
        raise BoxError("a crop of no size")
    return min(across // by, width), min(down // by_too, height)


def _unpack(layout: str, body: bytes, at: int) -> tuple[int, ...]:
    try:
        return struct.unpack_from(layout, body, at)
    except struct.error:
        raise BoxError("a box ends early") from None
