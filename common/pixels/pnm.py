"""Decodes PBM, PGM, PPM, PAM and PFM, plain and raw, by the largest value that each file names.

As the pages of Netpbm (pbm, pgm, ppm, pam) and of PFM describe them. Of several pictures in a file, the first is taken.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from common.errors import ItemCode, ItemError
from common.pixels.depth import Bytes, Samples, scaled, to_bytes
from common.scale import Scale

#: White space, and comments to the end of their line, before a number of the head.
_GAP = rb"(?:\s|#[^\r\n]*[\r\n])+"
_PBM = re.compile(rb"P([14])" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,9})(?:#[^\r\n]*)?\s")
_PNM = re.compile(rb"P([2356])" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,9})(?:#[^\r\n]*)?\s")
_PFM = re.compile(rb"P([fF])\s+(\d{1,9})\s+(\d{1,9})\s+([+-]?[\d.]+(?:[eE][+-]?\d+)?)\s")
_COMMENT = re.compile(rb"#[^\r\n]*")
#: Bytes. A file without a head that can be read was cut off if it is shorter.
_SHORTEST = 32
#: Bands of colour, and in all, by a PAM's tuple type.
_TUPLES = {
    "BLACKANDWHITE": (1, 1),
    "GRAYSCALE": (1, 1),
    "RGB": (3, 3),
    "BLACKANDWHITE_ALPHA": (1, 2),
    "GRAYSCALE_ALPHA": (1, 2),
    "RGB_ALPHA": (3, 4),
}


@dataclass(frozen=True, slots=True, eq=False)
class Pnm:
    """A file whose head is read, and whose pixels are not decoded yet."""

    data: bytes
    width: int
    height: int
    bands: int
    #: Bands of them that are colour: alpha comes last.
    colours: int
    #: The value of white; 1 at least, 65535 at most. 0: floating point, without bounds.
    top: int
    #: As text, not as bytes.
    plain: bool
    #: Where the samples begin.
    start: int
    #: PBM's 1 is black.
    inverted: bool = False
    #: A PFM's byte order.
    order: str = ">"

    @classmethod
    def open(cls, data: bytes) -> Pnm:
        """Raises ItemError: truncated, corrupt, unsupported."""
        if data[:2] == b"P7":
            return _pam(data)
        if match := _PFM.match(data):
            bands = 3 if match[1] == b"F" else 1
            order = "<" if match[4].startswith(b"-") else ">"
            opened = cls(data, int(match[2]), int(match[3]), bands, bands, 0, False, match.end(), order=order)
        elif match := _PBM.match(data):
            opened = cls(data, int(match[2]), int(match[3]), 1, 1, 1, match[1] == b"1", match.end(), inverted=True)
        elif match := _PNM.match(data):
            bands, plain = (3 if match[1] in b"36" else 1), match[1] in b"23"
            opened = cls(data, int(match[2]), int(match[3]), bands, bands, int(match[4]), plain, match.end())
            _check_top(opened.top)
        else:
            raise _broken(data)
        return opened._checked()

    def _checked(self) -> Pnm:
        if not (self.width and self.height):
            raise _corrupt("its picture has no pixels")
        return self

    @property
    def size(self) -> tuple[int, int]:
        return self.width, self.height

    @property
    def memory_pixels(self) -> int:
        return self.width * self.height

    @property
    def orientation(self) -> None:
        return None

    @property
    def deep(self) -> bool:
        return self.top > 255 or self.top == 0

    def rgb(self, scale: Scale | None = None) -> Bytes:
        """(height, width, 3) RGB or (height, width) grey. Alpha is dropped. See `to_bytes` for the rounding.

        Raises ItemError: truncated, corrupt, unsupported; and MemoryError.
        """
        if self.top == 0:
            if scale is None:
                text = "PFM: such values have no range of their own; give one, --scale MIN:MAX or --scale 2%:98%"
                raise ItemError(ItemCode.UNSUPPORTED, text)
            floats = self._floats()
            return scaled(floats if self.bands == 3 else floats[..., 0], scale)
        samples = self._samples()
        if self.top not in (255, 65535) and int(samples.max()) > self.top:
            raise _corrupt(f"a value is above its largest, {self.top}")
        samples = samples[..., 0] if self.colours == 1 else samples[..., : self.colours]
        values = to_bytes(samples, self.top, scale)
        return ~values if self.inverted else np.ascontiguousarray(values)

    def _samples(self) -> Samples:
        """(height, width, bands) uint8 or uint16."""
        if self.plain:
            return self._text()
        if self.inverted:
            row = -(-self.width // 8)
            rows = self._raw(np.dtype(np.uint8), self.height * row).reshape(self.height, row)
            return np.unpackbits(rows, axis=1, count=self.width)[..., None]
        dtype = np.dtype(np.uint8 if self.top < 256 else ">u2")
        raw = self._raw(dtype, self.width * self.height * self.bands)
        return raw.reshape(self.height, self.width, self.bands).astype(dtype.newbyteorder("="), copy=False)

    def _floats(self) -> Samples:
        """(height, width, bands), turned: PFM begins with the lowest row."""
        raw = self._raw(np.dtype(f"{self.order}f4"), self.width * self.height * self.bands)
        return raw.reshape(self.height, self.width, self.bands)[::-1].astype(np.float32)

    def _raw(self, dtype: np.dtype[Any], count: int) -> Samples:
        start, size = self.start, count * dtype.itemsize
        if self.data[start - 1 : start + 1] == b"\r\n" and start + size < len(self.data):
            start += 1  # one white space ends a head, but some programs on Windows write two
        if start + size > len(self.data):
            raise _truncated(self.data)
        return np.frombuffer(self.data, dtype, count, start)

    def _text(self) -> Samples:
        count = self.width * self.height * self.bands
        if len(self.data) - self.start < count:
            raise _truncated(self.data)
        text = _COMMENT.sub(b" ", self.data[self.start :])
        if self.inverted:  # its digits need no space between them
            digits = np.frombuffer(text.translate(None, b" \t\n\v\f\r"), np.uint8)[:count]
            if not np.isin(digits, (48, 49)).all():
                raise _corrupt("a pixel is neither 0 nor 1")
            values: Samples = digits - 48
        else:
            values = _numbers(text, count)
            if values.size and int(values.max()) > self.top:
                raise _corrupt(f"a value is above its largest, {self.top}")
        if values.size < count:
            raise _truncated(self.data)
        shaped = values.reshape(self.height, self.width, self.bands)
        return shaped.astype(np.uint8 if self.top < 256 else np.uint16)


def _numbers(text: bytes, count: int) -> Samples:
    """At most so many."""
    if text.translate(None, b"0123456789 \t\n\v\f\r"):
        raise _corrupt("a value is no whole number")
    # With a count, numpy would fill up what is missing with whatever is in memory.
    return np.fromstring(text, np.int64, sep=" ")[:count] if text.strip() else np.empty(0, np.int64)


def _pam(data: bytes) -> Pnm:
    """Its head is lines of a word and a value."""
    end = re.search(rb"\nENDHDR[ \t]*\r?\n", data[: 1 << 16])
    if end is None:
        raise _broken(data)
    found: dict[str, str] = {}
    for line in data[3 : end.start()].decode("ascii", "replace").splitlines():
        word, _, value = line.strip().partition(" ")
        if word and not word.startswith("#"):
            found[word] = f"{found[word]} {value.strip()}" if word == "TUPLTYPE" and word in found else value.strip()
    numbers = [found.get(word, "") for word in ("WIDTH", "HEIGHT", "DEPTH", "MAXVAL")]
    if not all(number.isascii() and number.isdigit() and len(number) < 10 for number in numbers):
        raise _corrupt("its head lacks a number")
    width, height, bands, top = map(int, numbers)
    kind = found.get("TUPLTYPE") or {1: "GRAYSCALE", 3: "RGB"}.get(bands, "")
    if kind not in _TUPLES or _TUPLES[kind][1] != bands:
        what = f"PAM of {bands} bands, tuple type {kind or 'not given'}"
        text = f"{what[:80]}: this kind of image is not decoded; convert it to an RGB PNG or JPEG"
        raise ItemError(ItemCode.UNSUPPORTED, text)
    _check_top(top)
    return Pnm(data, width, height, bands, _TUPLES[kind][0], top, False, end.end())._checked()


def _check_top(top: int) -> None:
    if not 0 < top < 65536:
        raise _corrupt(f"its largest value is {top}; 1 to 65535 are possible")


def _broken(data: bytes) -> ItemError:
    return _truncated(data) if len(data) < _SHORTEST else _corrupt("its head is broken")


def _corrupt(why: str) -> ItemError:
    return ItemError(ItemCode.CORRUPT, f"the PNM is broken: {why}; copy or download the file again")


def _truncated(data: bytes) -> ItemError:
    text = f"the file ends early, after {len(data)} bytes; copy or download it again"
    return ItemError(ItemCode.TRUNCATED, text)
