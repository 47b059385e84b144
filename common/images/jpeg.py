"""Decodes ordinary JPEGs with simplejpeg, and tells those that only lack their end mark from those that are cut."""

from __future__ import annotations

from collections.abc import Iterator

from common.images.image import Image

END = b"\xff\xd9"
#: Bytes. simplejpeg counts a picture's bytes in 32 bits with a sign.
_MOST_BYTES = (1 << 31) - 1
#: Zeros at the end that may be coded data. A copy that failed and was filled up to its length has more: the two bytes
#: of the end mark, and one at least of the pixels that are missing.
_MOST_ZEROS = 2
_ARITHMETIC = (0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF)
_PROGRESSIVE = 0xC2
_COEFFICIENTS = 64


def read(data: bytes, width: int, height: int) -> Image | None:
    """(height, width, 3) uint8 BGR as stored, the pixels that cv2.imdecode gives, in about half its time.

    None where that is not certain, and OpenCV must decode it: anything but YCbCr, RGB and grey, another size than the
    header's, and every file of which libjpeg has something to say. Raises MemoryError.
    """
    import simplejpeg

    try:
        said_height, said_width, colours, _ = simplejpeg.decode_jpeg_header(data)
        if (said_width, said_height) != (width, height) or colours not in ("YCbCr", "RGB", "Gray"):
            return None
        if 3 * width * height > _MOST_BYTES:
            return None
        image: Image = simplejpeg.decode_jpeg(data, "BGR", strict=True)
    except (ValueError, KeyError):  # KeyError: a kind of subsampling that simplejpeg has no name for
        return None
    return image


def completed(data: bytes) -> bytes | None:
    """The file with an end mark, where that is all that it lacks; None where pixels are missing. Raises MemoryError.

    libjpeg warns as soon as it needs one bit that is not there, and of whatever it does not need. Of a progressive file
    all scans must be there. Arithmetic coding leaves zeros out at the end, so that nobody can tell: None.
    """
    import simplejpeg

    for kept in _without_filling(data):
        whole = kept + END
        if not _has_all_scans(whole):
            continue
        try:
            colours = simplejpeg.decode_jpeg_header(whole)[2]
            simplejpeg.decode_jpeg(whole, "CMYK" if colours in ("CMYK", "YCCK") else "GRAY", strict=True)
        except (ValueError, KeyError):
            continue
        return whole
    return None


def _without_filling(data: bytes) -> Iterator[bytes]:
    """What may be the file as it was: zeros at its end can be coded data, or what a failed copy was filled up with."""
    kept = data.rstrip(b"\0")
    if len(data) - len(kept) <= _MOST_ZEROS:
        yield data
    if len(kept) < len(data):
        # After 255 one zero is part of the data, unless it is what was left of the end mark.
        yield from (kept + b"\0", kept[:-1]) if kept.endswith(b"\xff") else (kept,)


def _has_all_scans(data: bytes) -> bool:
    """Whether the scans bring every coefficient of every component to its last bit."""
    progressive, missing = False, {}
    for marker, body in _segments(data):
        if marker in _ARITHMETIC:
            return False
        if marker in (0xC0, 0xC1, _PROGRESSIVE, 0xC3) and len(body) >= 6:
            progressive = marker == _PROGRESSIVE
            missing = {component: [1] * _COEFFICIENTS for component in body[6::3]}
        elif marker == 0xDA and body and len(body) >= 4 + 2 * body[0]:
            components = body[1 : 1 + 2 * body[0] : 2]
            first, last, bits = body[1 + 2 * body[0] :][:3]
            if not progressive:
                first, last, bits = 0, _COEFFICIENTS - 1, 0
            for component in components:
                # Low four bits: how many bits are left for later scans.
                missing.setdefault(component, [1] * _COEFFICIENTS)[first : last + 1] = [bits & 15] * (last + 1 - first)
    return bool(missing) and not any(any(bits) for bits in missing.values())


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Markers with their bodies, without the two bytes of length; coded data in between are passed over."""
    at = 2
    while 0 <= at < len(data) - 3:
        marker = data[at + 1]
        if data[at] != 0xFF or marker in (0x00, 0x01, 0xFF, *range(0xD0, 0xDA)):
            at = data.find(b"\xff", at + 1)
            continue
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4])
        yield marker, data[at + 4 : end]
        at = data.find(b"\xff", end)
