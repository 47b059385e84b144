"""Reads PNG and JPEG 2000 of more than 8 bits a channel with all their bits, which Pillow leaves out."""

from __future__ import annotations

from common.images.codestreams import jpeg2000_stream
from common.images.depth import Samples

_PNG, _JPEG2000 = b"\x89PNG\r\n\x1a\n", (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")


def read(data: bytes) -> tuple[Samples, int] | None:
    """(height, width, 3) or (height, width) uint16 without alpha, and their largest value; None for all other files.

    Raises whatever the codec does for broken data.
    """
    import imagecodecs

    if data.startswith(_PNG) and data[24:25] == b"\x10":
        return _colours(imagecodecs.png_decode(data)), 65535
    if data.startswith(_JPEG2000):
        stream = jpeg2000_stream(data)
        if stream is not None and 8 < stream.bits <= 16 and not stream.signed:
            return _colours(imagecodecs.jpeg2k_decode(data)), (1 << stream.bits) - 1
    return None


def _colours(samples: Samples) -> Samples:
    if samples.ndim == 2:
        return samples
    return samples[..., :3] if samples.shape[2] >= 3 else samples[..., 0]
