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

from common import images
from common.errors import ItemCode, ItemError
from common.images import endings, heif, jpeg
from common.images.apng import Frame, Place, first_frame
from common.images.codestreams import jpeg2000_stream, jpeg_stream
from common.images.depth import to_bytes
from common.images.errors import truncated, unsupported
from common.images.headers import (
    Header,
    bits_of,
    foreign_kind,
    header_of,
    is_cut,
    open_picture,
    overruns,
    read_header,
    sniff,
)
from common.images.image import Image
from common.images.scale import Scale

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


def decode(data: bytes, max_pixels: int, scale: Scale | None = None) -> tuple[Image, Header]:
    """(height, width, 3) uint8 BGR with the EXIF rotation applied, and the header that agrees with it.

    Of deep images, the whole range of their type or the scale's becomes 0 to 255. Alpha is dropped, an animation gives
    its first frame. Raises ItemError: empty, not_an_image, truncated, corrupt, too_large (by the header, before
    decoding), unsupported, out_of_memory.
    """
    _quiet()
    try:
        if own := images.open_picture(data):
            return _decode_own(own, data, max_pixels, scale)
        if sniff(data) == "WebP":
            data = endings.reframed(data)
        header = read_header(data)
        if header is None:
            raise _unreadable(data)
        _check_size(header, max_pixels)
        whole = endings.completed(header.kind, data)
        if whole is None:
            raise truncated(data)
        data = whole
        if overruns(header.kind, data):
            # OpenCV would ask for as much memory as a PNG's chunk claims to need, up to 4 GiB, before it looks.
            raise _corrupt(header.kind)
        image = (
            _upright(_pixels(data, header, scale), header)
            if header.kind != "HEIC"
            else heif.decode(data, max_pixels, scale)
        )
        if header.deep and scale is None:
            _warn_deep()
    except MemoryError:
        text = "no memory to decode the image; run fewer processes on this worker, or lower --max-pixels"
        raise ItemError(ItemCode.OUT_OF_MEMORY, text) from None
    height, width = image.shape[:2]
    if (width, height) != (header.width, header.height):
        header = replace(header, width=width, height=height)
    return image, header


def _decode_own(picture: images.Picture, data: bytes, max_pixels: int, scale: Scale | None) -> tuple[Image, Header]:
    """What OpenCV does not decode right: TIFF, PNM, some BMP."""
    header = header_of(sniff(data) or "", picture)
    _check_size(header, max_pixels)
    if picture.memory_pixels > max_pixels:
        text = f"its tiles take {picture.memory_pixels} pixels, over the limit of {max_pixels}; raise --max-pixels"
        raise ItemError(ItemCode.TOO_LARGE, text)
    rgb = picture.rgb(scale)
    if header.deep and scale is None:
        _warn_deep()
    image = cv2.cvtColor(rgb, cv2.COLOR_GRAY2BGR if rgb.ndim == 2 else cv2.COLOR_RGB2BGR)
    return _upright(cast(Image, image), header), header


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
    log.warning("images of more than 8 bits a channel: their whole range is mapped to 0..255 (said once a process)")


def _check_size(header: Header, max_pixels: int) -> None:
    size = f"{header.width} x {header.height} pixels"
    if header.width * header.height > max_pixels:
        raise ItemError(ItemCode.TOO_LARGE, f"{size} are over the limit of {max_pixels}; raise --max-pixels")
    if header.width * header.height > OPENCV_MAX_PIXELS or max(header.width, header.height) > OPENCV_MAX_SIDE:
        text = f"{size}: OpenCV decodes at most {OPENCV_MAX_PIXELS}, and {OPENCV_MAX_SIDE} a side; cut it into tiles"
        raise ItemError(ItemCode.TOO_LARGE, text)


def _pixels(data: bytes, header: Header, scale: Scale | None) -> Image:
    """As stored, before its orientation. Raises ItemError and MemoryError."""
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    if header.deep and (scale or header.kind == "AVIF"):
        flags |= cv2.IMREAD_ANYDEPTH  # OpenCV rounds AVIF where it divides the other formats by 256
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
    if decoded.dtype == np.uint16:
        decoded = to_bytes(decoded, (1 << bits_of(header.kind, data)) - 1, scale)
    if decoded.dtype != np.uint8:
        raise unsupported(header.kind)
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
    return cast(Image, _TURNS[header.exif_orientation or 1](image))


def _unreadable(data: bytes) -> ItemError:
    """Why there is no header."""
    if not data:
        return ItemError(ItemCode.EMPTY, "the file has no bytes; copy or download it again")
    kind = sniff(data)
    if kind is None:
        foreign = foreign_kind(data)
        if foreign:
            return unsupported(foreign)
        return ItemError(ItemCode.NOT_AN_IMAGE, "the content is no image format that is known; remove the file")
    if is_cut(kind, data) or len(data) < _SHORTEST_HEADER:
        return truncated(data)
    if kind == "HEIC":
        return heif.unreadable(data)
    if words := _unusual(data, kind):
        return unsupported(words)
    return ItemError(ItemCode.CORRUPT, f"the {kind} header is broken; copy or download the file again")


def _undecodable(data: bytes, header: Header) -> ItemError:
    """Why OpenCV gave nothing, found out with Pillow's decoder. Raises MemoryError."""
    if words := _unusual(data, header.kind):
        return unsupported(words)
    try:
        open_picture(header.kind, data).load()
    except MemoryError:
        raise
    except Exception as error:  # as in read_header
        if "truncated" in str(error).lower():
            return truncated(data)
        return _corrupt(header.kind)
    if header.kind == "PNG":  # OpenCV takes every kind of PNG, and Pillow passes over a wrong checksum at the end
        return _corrupt(header.kind)
    return unsupported(header.kind)


def _unusual(data: bytes, kind: str) -> str | None:
    """What is whole and that no decoder here takes, in words."""
    stream = jpeg_stream(data) if kind == "JPEG" else jpeg2000_stream(data) if kind == "JPEG 2000" else None
    if stream is None:
        return None
    if kind == "JPEG" and (stream.bits != 8 or stream.lossless):
        return f"{'lossless ' * stream.lossless}JPEG of {stream.bits} bits"
    if kind == "JPEG 2000" and (stream.signed or stream.bits > 16):
        return f"JPEG 2000 of {stream.bits} bits{', signed' * stream.signed}"
    return None


def _corrupt(kind: str) -> ItemError:
    return ItemError(ItemCode.CORRUPT, f"the {kind} data are broken; copy or download the file again")
