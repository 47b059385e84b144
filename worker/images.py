"""A file's bytes in, the picture as a person sees it out, or an ItemError that says why not."""

from __future__ import annotations

import functools
import logging
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import cast

import cv2
import numpy as np
from cv2.typing import MatLike

from common.errors import ItemCode, ItemError
from worker import boxfile, endings, heif, jpeg
from worker.apng import Frame, Place, first_frame
from worker.detectors.base import Image
from worker.headers import (
    Header,
    foreign_kind,
    is_cut,
    open_picture,
    overruns,
    read_header,
    read_tiff_layout,
    sniff,
)

__all__ = ["Header", "Image", "decode", "is_no_memory", "read_header"]

#: What EXIF's orientation asks for, 1 to 8.
_TURNS: dict[int, Callable[[Image], MatLike]] = {
    1: lambda image: image,
    2: lambda image: cv2.flip(image, 1),
    3: lambda image: cv2.rotate(image, cv2.ROTATE_180),
    4: lambda image: cv2.flip(image, 0),
    5: cv2.transpose,
    6: lambda image: cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE),
    7: lambda image: cv2.flip(cv2.transpose(image), -1),
    8: lambda image: cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE),
}

log = logging.getLogger(__name__)

#: Pixels a side, and pixels in all, that OpenCV decodes whatever --max-pixels says (its own defaults).
OPENCV_MAX_SIDE = 1 << 20
OPENCV_MAX_PIXELS = 1 << 30

#: Bytes. A file of a known format whose header cannot be read was cut off if it is shorter than this.
_SHORTEST_HEADER = 32


def decode(data: bytes, max_pixels: int) -> tuple[Image, Header]:
    """(height, width, 3) uint8 BGR with the EXIF rotation applied, and the header that agrees with it.

    Deep images are divided by 256, alpha is dropped, an animation gives its first frame. Raises ItemError: empty,
    not_an_image, truncated, corrupt, too_large (by the header, before decoding), unsupported, out_of_memory.
    """
    _quiet()
    try:
        if sniff(data) == "WebP":
            data = endings.reframed(data)
        header = read_header(data)
        if header is None:
            raise _unreadable(data)
        _check_size(header, max_pixels)
        whole = endings.completed(header.kind, data)
        if whole is None:
            raise _truncated(data)
        data = whole
        if overruns(header.kind, data):
            # OpenCV would ask for as much memory as a PNG's chunk claims to need, up to 4 GiB, before it looks.
            raise _corrupt(header.kind)
        image = heif.decode(data, max_pixels) if header.kind == "HEIC" else _upright(_pixels(data, header), header)
    except MemoryError:
        text = "no memory to decode the image; run fewer processes on this worker, or lower --max-pixels"
        raise ItemError(ItemCode.OUT_OF_MEMORY, text) from None
    height, width = image.shape[:2]
    if (width, height) != (header.width, header.height):
        header = replace(header, width=width, height=height)
    return image, header


def is_no_memory(error: Exception) -> bool:
    """Whether this is how OpenCV says that it got no memory."""
    return isinstance(error, cv2.error) and error.code == cv2.Error.StsNoMem


@functools.cache
def _quiet() -> None:
    """The codecs print warnings of their own for a bad file; its row says it already."""
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    logging.getLogger("PIL").setLevel(logging.CRITICAL + 1)
    warnings.filterwarnings("ignore", module=r"PIL\.")


@functools.cache
def _warn_deep() -> None:
    log.warning("images of 16 bits a channel are divided by 256 to 8 bits (said once a process)")


def _check_size(header: Header, max_pixels: int) -> None:
    size = f"{header.width} x {header.height} pixels"
    if header.width * header.height > max_pixels:
        raise ItemError(ItemCode.TOO_LARGE, f"{size} are over the limit of {max_pixels}; raise --max-pixels")
    if header.width * header.height > OPENCV_MAX_PIXELS or max(header.width, header.height) > OPENCV_MAX_SIDE:
        text = f"{size}: OpenCV decodes at most {OPENCV_MAX_PIXELS}, and {OPENCV_MAX_SIDE} a side; cut it into tiles"
        raise ItemError(ItemCode.TOO_LARGE, text)


def _pixels(data: bytes, header: Header) -> Image:
    """As stored, except a TIFF, which OpenCV always turns. Raises ItemError and MemoryError."""
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    if header.deep and header.kind in ("TIFF", "AVIF"):
        flags |= cv2.IMREAD_ANYDEPTH  # without it these two are rounded where the other formats are divided by 256
    if header.kind == "JPEG" and (quick := jpeg.read(data, *header.stored_size)) is not None:
        return quick
    frame = first_frame(data) if header.kind == "PNG" else Frame(data)
    if frame is None:
        raise _corrupt(header.kind)
    try:
        decoded = cv2.imdecode(np.frombuffer(frame.data, np.uint8), flags)
    except cv2.error as error:
        if is_no_memory(error):
            raise MemoryError from None
        decoded = None
    if decoded is None:
        raise _undecodable(frame.data, header)
    if header.deep:
        _warn_deep()
    if decoded.dtype == np.uint16:
        bits = boxfile.read_picture(data).bits if header.kind == "AVIF" else 16
        decoded = np.right_shift(decoded, bits - 8, dtype=np.uint16).astype(np.uint8)
    if decoded.dtype != np.uint8:
        raise _unsupported(header.kind)
    return _placed(cast(Image, decoded), frame.place)


def _placed(image: Image, place: Place | None) -> Image:
    """The frame of an animation in its whole picture."""
    if place is None or image.shape[:2] == (place.height, place.width):
        return image
    whole = np.zeros((place.height, place.width, 3), np.uint8)
    whole[place.y : place.y + image.shape[0], place.x : place.x + image.shape[1]] = image
    return whole


def _upright(image: Image, header: Header) -> Image:
    """Turned as EXIF's orientation says, by ourselves: OpenCV would pass over an AVIF's, and Pillow read it anyway."""
    if header.kind == "TIFF":
        return image
    return cast(Image, _TURNS[header.exif_orientation or 1](image))


def _unreadable(data: bytes) -> ItemError:
    """Why there is no header."""
    if not data:
        return ItemError(ItemCode.EMPTY, "the file has no bytes; copy or download it again")
    kind = sniff(data)
    if kind is None:
        foreign = foreign_kind(data)
        if foreign:
            return _unsupported(foreign)
        return ItemError(ItemCode.NOT_AN_IMAGE, "the content is no image format that is known; remove the file")
    if is_cut(kind, data) or len(data) < _SHORTEST_HEADER:
        return _truncated(data)
    if kind == "TIFF":
        return _bad_tiff(data)
    if kind == "HEIC":
        return heif.unreadable(data)
    return ItemError(ItemCode.CORRUPT, f"the {kind} header is broken; copy or download the file again")


def _undecodable(data: bytes, header: Header) -> ItemError:
    """Why OpenCV gave nothing, found out with Pillow's decoder. Raises MemoryError."""
    if header.kind == "TIFF":
        return _bad_tiff(data)
    try:
        open_picture(header.kind, data).load()
    except MemoryError:
        raise
    except Exception as error:  # as in read_header
        if "truncated" in str(error).lower():
            return _truncated(data)
        return _corrupt(header.kind)
    if header.kind == "PNG":  # OpenCV takes every kind of PNG, and Pillow passes over a wrong checksum at the end
        return _corrupt(header.kind)
    return _unsupported(header.kind)


def _bad_tiff(data: bytes) -> ItemError:
    """By its tags, since libtiff would print every one that it does not know."""
    layout = read_tiff_layout(data)
    if layout is not None and not layout.ordinary:
        return _unsupported(f"TIFF of {layout}")
    if layout is not None and layout.end > len(data):
        return _truncated(data)
    return ItemError(ItemCode.CORRUPT, "the TIFF is broken; copy or download the file again")


def _corrupt(kind: str) -> ItemError:
    return ItemError(ItemCode.CORRUPT, f"the {kind} data are broken; copy or download the file again")


def _truncated(data: bytes) -> ItemError:
    text = f"the file ends early, after {len(data)} bytes; copy or download it again"
    return ItemError(ItemCode.TRUNCATED, text)


def _unsupported(what: str) -> ItemError:
    text = f"{what}: this kind of image is not decoded; convert it to an RGB PNG or JPEG"
    return ItemError(ItemCode.UNSUPPORTED, text)
