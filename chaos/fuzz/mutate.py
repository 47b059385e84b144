"""Two files' bytes and a seeded generator in, a damaged file out: the same seed, the same bytes."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from random import Random

from chaos.fuzz import fields

#: Bytes. What a mutation adds at most, so that a file does not grow without end.
_LARGEST_PIECE = 4096
#: Numbers that break readers in text headers, too.
_NUMBERS = (0, 1, 7, 255, 256, 4096, 65500, 65535, 65536, 1 << 20, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)


def mutate(random: Random, data: bytes, other: bytes) -> tuple[bytes, tuple[str, ...]]:
    """`data` after one to four mutations, and their names; `other` is what may be spliced in."""
    done = []
    for _ in range(random.choice((1, 1, 1, 2, 2, 3, 4))):
        name = random.choice(_NAMES)
        data = _MUTATIONS[name](random, data, other)
        done.append(name)
    # Checksums would stop most damage at the door: half of the files have them right.
    if data.startswith(b"\x89PNG") and random.random() < 0.5:
        data = _with_checksums(data)
        done.append("checksums")
    return data, tuple(done)


def _flip_bits(random: Random, data: bytes, other: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(random.choice((1, 2, 8, 64)) if changed else 0):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _flip_early_bits(random: Random, data: bytes, other: bytes) -> bytes:
    """Where the headers are."""
    return _flip_bits(random, data[:256], other) + data[256:]


def _overwrite(random: Random, data: bytes, other: bytes) -> bytes:
    start, end = _range(random, data)
    fill = random.choice((b"\0", b"\xff", b"\x80", b"\x7f", None))
    piece = random.randbytes(end - start) if fill is None else fill * (end - start)
    return data[:start] + piece + data[end:]


def _truncate(random: Random, data: bytes, other: bytes) -> bytes:
    return data[: random.randint(0, len(data))]


def _extend(random: Random, data: bytes, other: bytes) -> bytes:
    size = random.randint(1, _LARGEST_PIECE)
    return data + random.choice((bytes(size), random.randbytes(size), data[:size], other[-size:]))


def _duplicate(random: Random, data: bytes, other: bytes) -> bytes:
    start, end = _range(random, data)
    return data[:end] + data[start:end] * random.choice((1, 1, 2, 8)) + data[end:]


def _delete(random: Random, data: bytes, other: bytes) -> bytes:
    start, end = _range(random, data)
    return data[:start] + data[end:]


def _swap(random: Random, data: bytes, other: bytes) -> bytes:
    a, b, c, d = sorted(random.randint(0, len(data)) for _ in range(4))
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def _splice(random: Random, data: bytes, other: bytes) -> bytes:
    """The first part of one file, the last part of another."""
    return data[: random.randint(0, len(data))] + other[random.randint(0, len(other)) :]


def _fields(random: Random, data: bytes, other: bytes) -> bytes:
    """Sizes, counts, offsets and kinds that the headers keep."""
    if re.match(rb"P[1-7]\s", data):
        return _text_numbers(random, data)
    found = fields.find(data)
    changed = bytearray(data)
    for field in random.sample(found, min(len(found), random.choice((1, 1, 2, 4)))):
        value = int.from_bytes(data[field.at : field.at + field.size], field.order)
        number = _number(random, value, 8 * field.size)
        changed[field.at : field.at + field.size] = number.to_bytes(field.size, field.order)
    return bytes(changed)


def _number(random: Random, value: int, bits: int) -> int:
    """One that is off by a little, by a lot, at an edge, or any."""
    most = (1 << bits) - 1
    near = (value + 1, value - 1, value * 2, value // 2, value * 16, value ^ (1 << random.randrange(bits)))
    edge = (0, 1, 2, most, most - 1, most // 2, most // 2 + 1, 16384 & most, 65500 & most)
    return random.choice((*near, *edge, random.randint(0, most))) & most


def _text_numbers(random: Random, data: bytes) -> bytes:
    """PNM keeps its sizes as text."""
    found = list(re.finditer(rb"\d+", data[:40]))
    number = random.choice(found[1:] or found)
    return data[: number.start()] + str(random.choice(_NUMBERS)).encode() + data[number.end() :]


def _range(random: Random, data: bytes) -> tuple[int, int]:
    start = random.randint(0, len(data))
    return start, min(len(data), start + random.choice((1, 4, 16, 64, 512, _LARGEST_PIECE)))


def _with_checksums(data: bytes) -> bytes:
    """A PNG with the checksum of each chunk set right, as far as its chunks can be followed."""
    changed, at = bytearray(data), 8
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4])
        if end + 4 > len(data):
            break
        changed[end : end + 4] = zlib.crc32(data[at + 4 : end]).to_bytes(4)
        at = end + 4
    return bytes(changed)


_MUTATIONS: dict[str, Callable[[Random, bytes, bytes], bytes]] = {
    "bits": _flip_bits,
    "early bits": _flip_early_bits,
    "overwrite": _overwrite,
    "truncate": _truncate,
    "extend": _extend,
    "duplicate": _duplicate,
    "delete": _delete,
    "swap": _swap,
    "splice": _splice,
    "fields": _fields,
}
#: Fields more often: they lie about sizes, and that is where memory is asked for.
_NAMES = (*_MUTATIONS, "fields", "fields", "fields", "fields", "early bits", "bits")
