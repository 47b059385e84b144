"""Decodes PBM, PGM, PPM, PAM and PFM, plain and raw, by the largest value that each file names.

As the pages of Netpbm (pbm, pgm, ppm, pam) and of PFM describe them. Of several pictures in a file, the first is taken.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from common.errors import ItemCode, ItemError
from common.images import Plain
from common.images.depth import Bytes, Samples, scaled, to_bytes
from common.images.errors import NO_RANGE, corrupt, truncated, unsupported
from common.images.scale import Scale

#: White space, and comments to the end of their line, before a number of the head.
_GAP = rb"(?:\s|#[^\r\n]*[\r\n])+"
_PBM = re.compile(rb"P([14])" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,9})(?:#[^\r\n]*)?\s")
_PNM = re.compile(rb"P([2356])" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,9})(?:#[^\r\n]*)?\s")
_PFM = re.compile(rb"P([fF])\s+(\d{1,9})\s+(\d{1,9})\s+([+-]?[\d.]+(?:[eE][+-]?\d+)?)\s")
_COMMENT = re.compile(rb"#[^\r\n]*")
_SPACE, _BITS, _NUMBERS = re.compile(rb"\s"), re.compile(rb"[01\s]*"), re.compile(rb"[0-9\s]*")
#: Bytes of a plain picture's text that are read at once.
_PIECE = 1 << 20
#: What a text's end, or that of a copy that failed, may be filled up with.
_FILLING = b"\0\x1a \t\n\v\f\r"
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
class Pnm(Plain):
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
            raise corrupt("PNM", "its picture has no pixels")
        return self

    @property
    def deep(self) -> bool:
        return self.top > 255 or self.top == 0

    def rgb(self, scale: Scale | None = None) -> Bytes:
        """(height, width, 3) RGB or (height, width) grey. Alpha is dropped. See `to_bytes` for the rounding.

        Raises ItemError: truncated, corrupt, unsupported; and MemoryError.
        """
        if self.top == 0:
            if scale is None:
                raise ItemError(ItemCode.UNSUPPORTED, f"PFM: {NO_RANGE}")
            floats = self._floats()
            return scaled(floats if self.bands == 3 else floats[..., 0], scale)
        samples = self._samples()
        if self.top not in (255, 65535) and int(samples.max()) > self.top:
            raise corrupt("PNM", f"a value is above its largest, {self.top}")
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
            raise truncated(self.data)
        return np.frombuffer(self.data, dtype, count, start)

    def _text(self) -> Samples:
        """Of a long text only as much is read as the picture needs: another one, or anything, may follow."""
        count, done = self.width * self.height * self.bands, 0
        if len(self.data) - self.start < count:
            raise truncated(self.data)
        samples = np.empty(count, np.uint8 if self.top < 256 else np.uint16)
        for text in _pieces(self.data, self.start):
            values, rest = _bits(text) if self.inverted else _numbers(text)
            values = values[: count - done]
            if values.size and int(values.max()) > self.top:
                raise corrupt("PNM", f"a value is above its largest, {self.top}")
            samples[done : done + values.size] = values
            done += values.size
            if done == count:
                return samples.reshape(self.height, self.width, self.bands)
            if rest.strip(_FILLING):
                raise corrupt("PNM", "a pixel is neither 0 nor 1" if self.inverted else "a value is no whole number")
            if rest:
                break
        raise truncated(self.data)


def _pieces(data: bytes, at: int) -> Iterator[bytes]:
    """The text from `at` on without its comments, cut where white space is."""
    while at < len(data):
        space = _SPACE.search(data, at + _PIECE)
        end = space.end() if space else len(data)
        line = max(data.rfind(b"\n", at, end), data.rfind(b"\r", at, end), at)
        comment = data.find(b"#", line, end)
        if comment >= 0:  # it goes on to the end of its line
            end = _end(_COMMENT, data, comment)
        yield _COMMENT.sub(b" ", data[at:end])
        at = end


def _end(pattern: re.Pattern[bytes], data: bytes, at: int = 0) -> int:
    match = pattern.match(data, at)
    return match.end() if match else at


def _bits(text: bytes) -> tuple[Samples, bytes]:
    """Digits, which need no space between them, as far as they go, and what follows them."""
    end = _end(_BITS, text)
    return np.frombuffer(text[:end].translate(None, b" \t\n\v\f\r"), np.uint8) - 48, text[end:]


def _numbers(text: bytes) -> tuple[Samples, bytes]:
    """Whole numbers as far as they go, and what follows them."""
    end = _end(_NUMBERS, text)
    if not text[:end].strip():
        return np.empty(0, np.int64), text[end:]
    values = np.fromstring(text[:end], np.int64, sep=" ")
    # What stands next to a digit belongs to its number, but for the beginning of another picture and the end of a text.
    torn = text[end - 1 : end].isdigit() and text[end : end + 1] not in (b"", b"P", b"\0", b"\x1a")
    return values[:-1] if torn else values, text[end:]


def _pam(data: bytes) -> Pnm:
    """Its head is lines of a word and a value."""
    end = re.search(rb"\nENDHDR[ \t]*\r?\n", data[: 1 << 16])
    if end is None:
        raise _broken(data)
    found: dict[str, str] = {}
    for line in data[3 : end.start()].decode("ascii", "replace").splitlines():
        word, value = (*line.split(None, 1), "", "")[:2]
        value = value.strip()
        if word and not word.startswith("#"):
            found[word] = f"{found[word]} {value}" if word == "TUPLTYPE" and word in found else value
    numbers = [found.get(word, "") for word in ("WIDTH", "HEIGHT", "DEPTH", "MAXVAL")]
    if not all(number.isascii() and number.isdigit() and len(number) < 10 for number in numbers):
        raise corrupt("PNM", "its head lacks a number")
    width, height, bands, top = map(int, numbers)
    kind = found.get("TUPLTYPE") or {1: "GRAYSCALE", 3: "RGB"}.get(bands, "")
    if kind not in _TUPLES or _TUPLES[kind][1] != bands:
        what = f"PAM of {bands} bands, tuple type {kind or 'not given'}"
        raise unsupported(what[:80])
    _check_top(top)
    return Pnm(data, width, height, bands, _TUPLES[kind][0], top, False, end.end())._checked()


def _check_top(top: int) -> None:
    if not 0 < top < 65536:
        raise corrupt("PNM", f"its largest value is {top}; 1 to 65535 are possible")


def _broken(data: bytes) -> ItemError:
    return truncated(data) if len(data) < _SHORTEST else corrupt("PNM", "its head is broken")
