"""Decodes HEIC: the primary picture, turned as the file says, on one thread, with libheif as pillow-heif brings it.

Only HEVC, and what is composed of it, gets as far as libheif, which would try other codecs and fail in other words.
"""

from __future__ import annotations

import functools
from types import ModuleType
from typing import cast

import numpy as np

from common.errors import ItemCode, ItemError
from common.images.depth import to_bytes
from common.images.heif_boxes import BoxError, Picture, boxes, read_picture
from common.images.image import Image
from common.images.scale import Scale

#: Items that libheif can make a picture of: HEVC; pictures beside, over and in place of each other.
_TAKEN = {b"hvc1", b"grid", b"iovl", b"iden"}
#: Pixels a side. Coded pictures are filled up to whole blocks, and cropped.
_MARGIN = 64
_CONVERT = "convert it to a JPEG or PNG"


def decode(data: bytes, max_pixels: int, scale: Scale | None = None) -> Image:
    """(height, width, 3) uint8 BGR; deeper samples are mapped to 8 bits, alpha is dropped, profiles are ignored.

    The file's own turning (irot, imir) and cropping (clap) are applied. EXIF's orientation says the same once more, or
    is wrong: it is not looked at. Raises ItemError and MemoryError.
    """
    try:
        picture = read_picture(data)
        _check(picture, max_pixels)
    except BoxError as error:
        raise _corrupt(str(error)) from None
    if any(part.kind == b"hvc1" and data[part.end - 1 : part.end] == b"\0" for part in picture.parts):
        # HEVC's units never end with a zero (ITU-T H.265, 7.4.2.1): a failed copy was filled up to its old length.
        raise ItemError(ItemCode.TRUNCATED, "its pixels end in zeros; copy or download it again")
    heif = _library()
    try:
        # Deep samples are asked for as they are: libheif would round what other formats cut off.
        file = heif.open_heif(data, convert_hdr_to_8bit=False, bgr_mode=True)
        opened = next((image for image in file if image.info["primary"]), None)
        if opened is None:
            raise _unsupported("HEIC whose primary picture is hidden, or part of another")
        # A copy: the library's memory goes with its object.
        pixels = np.array(opened)
    except (ItemError, MemoryError):
        raise
    except Exception as error:  # ValueError, SyntaxError, RuntimeError, EOFError, OSError, IndexError
        raise _explained(str(error)) from None
    colours = np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels[..., :3]
    if colours.dtype == np.uint16:  # the library has moved 10 or 12 bits up to 16
        colours = to_bytes(np.right_shift(colours, 16 - picture.bits), (1 << picture.bits) - 1, scale)
    return cast(Image, np.ascontiguousarray(colours))


def unreadable(data: bytes) -> ItemError:
    """Why a HEIC whose end is there has no header."""
    try:
        read_picture(data)
    except BoxError as error:
        if not error.no_picture:
            return _corrupt(str(error))
    sequence = any(box.name == b"moov" for box in boxes(data))
    return _unsupported("HEIC of a sequence without a still picture" if sequence else "HEIF of a new form")


def _check(picture: Picture, max_pixels: int) -> None:
    """Refuses what libheif would not decode, or would need more memory for than the header showed."""
    if foreign := picture.kinds - _TAKEN:
        names = ", ".join(sorted(kind.decode("ascii", "replace") for kind in foreign))
        raise _unsupported(f"HEIF of {names}")
    for part in picture.parts:
        part.check()
    width, height = picture.largest
    if max(width - _MARGIN, 1) * max(height - _MARGIN, 1) > max_pixels:
        text = f"its parts of {width} x {height} pixels are over the limit of {max_pixels}; raise --max-pixels"
        raise ItemError(ItemCode.TOO_LARGE, text)


@functools.cache
def _library() -> ModuleType:
    import pillow_heif

    # Tiles one after the other, in this thread; and nothing of the file but the picture.
    pillow_heif.options.DECODE_THREADS = 0
    pillow_heif.options.THUMBNAILS = pillow_heif.options.DEPTH_IMAGES = pillow_heif.options.AUX_IMAGES = False
    return pillow_heif


def _explained(words: str) -> ItemError:
    """libheif's error in ours. Raises MemoryError."""
    words = " ".join(words.split())
    if "Security limit" in words:
        return ItemError(ItemCode.TOO_LARGE, f"libheif refuses it ({words}); {_CONVERT}")
    if "Allocating" in words and words.endswith("failed"):  # its other memory errors are sizes that make no sense
        raise MemoryError
    if words.startswith("Unsupported") or "not been built in" in words:
        return _unsupported(f"HEIC ({words})")
    return _corrupt(words)


def _unsupported(what: str) -> ItemError:
    return ItemError(ItemCode.UNSUPPORTED, f"{what}: this kind of image is not decoded; {_CONVERT}")


def _corrupt(why: str) -> ItemError:
    return ItemError(ItemCode.CORRUPT, f"the HEIC data are broken ({why}); copy or download the file again")
