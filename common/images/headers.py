"""An image file's bytes in, what they say of themselves out: format, size, rotation, depth, whether the end is there.

Nothing is decoded. Formats are known by their content, whatever the file is called.
"""

from __future__ import annotations

import contextlib
import io
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    WebPImagePlugin,
)
from PIL.ImageFile import ImageFile

from common import images
from common.images.codestreams import jpeg2000_start, jpeg2000_stream, jpeg_markers
from common.images.heif_boxes import BoxError, boxes, read_picture

#: EXIF's code of an image that is turned by a quarter: width and height change places.
_QUARTER_TURNS = (5, 6, 7, 8)
_EXIF_ORIENTATION = 0x0112

# Pillow's own classes instead of Image.open, which refuses by a limit of its own and asks formats that we don't take.
_OPENERS: dict[str, Callable[[io.BytesIO], ImageFile]] = {
    "AVIF": AvifImagePlugin.AvifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,
    "JPEG 2000": Jpeg2KImagePlugin.Jpeg2KImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
}

_TAKEN = (
    ("JPEG", re.compile(rb"\xff\xd8")),
    ("PNG", re.compile(rb"\x89PNG\r\n\x1a\n")),
    ("WebP", re.compile(rb"RIFF....WEBP", re.DOTALL)),
    ("GIF", re.compile(rb"GIF8[79]a")),
    ("TIFF", re.compile(rb"II[*+]\0|MM\0[*+]")),
    ("BMP", re.compile(rb"BM")),
    ("JPEG 2000", re.compile(rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51")),
    ("AVIF", re.compile(rb"\0\0..ftyp(?:.{4}){0,16}?avi[fs]", re.DOTALL)),
    ("HEIC", re.compile(rb"\0\0..ftyp(?:.{4}){0,16}?(?:hei[cmsx]|hev[cmsx]|mif[123]|msf1)", re.DOTALL)),
    ("PNM", re.compile(rb"P[1-6][\s#]|P7\s*\n|P[Ff]\s")),
)
_FOREIGN = (
    ("JPEG XL", re.compile(rb"\xff\x0a|\0\0\0\x0cJXL ")),
    ("Photoshop", re.compile(rb"8BPS")),
    ("icon", re.compile(rb"\0\0\x01\0")),
    ("Radiance HDR", re.compile(rb"#\?R")),
    ("OpenEXR", re.compile(rb"\x76\x2f\x31\x01")),
    ("PDF", re.compile(rb"%PDF")),
)


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of its picture."""

    kind: str
    #: Pixels, as a person sees it: after rotation.
    width: int
    height: int
    #: EXIF's 1 to 8; None where the file says nothing, or nothing valid.
    exif_orientation: int | None
    #: Whether 8 bits cannot hold a channel's values.
    deep: bool

    @property
    def stored_size(self) -> tuple[int, int]:
        """Width and height in pixels before EXIF's rotation: not of a TIFF or HEIC, which their decoders turn."""
        turned = self.exif_orientation in _QUARTER_TURNS
        return (self.height, self.width) if turned else (self.width, self.height)


def sniff(data: bytes) -> str | None:
    """The format, a key of what `open_picture` takes, or None."""
    return next((kind for kind, start in _TAKEN if start.match(data)), None)


def foreign_kind(data: bytes) -> str | None:
    """The name of an image format that is known and not taken, or None."""
    return next((kind for kind, start in _FOREIGN if start.match(data)), None)


def open_picture(kind: str, data: bytes) -> ImageFile:
    """Pillow's view of it, not yet decoded. Raises whatever Pillow does."""
    return _OPENERS[kind](io.BytesIO(data))


def read_header(data: bytes) -> Header | None:
    """None where the bytes are no image that is taken, or their header is broken. Raises MemoryError."""
    kind = sniff(data)
    if kind is None:
        return None
    if kind == "HEIC":
        return _heic_header(data)
    try:
        if own := images.open_picture(data):
            return header_of(kind, own)
        picture = open_picture(kind, data)
        width, height = _codestream_size(data) if kind == "JPEG 2000" else picture.size
        deep = bits_of(kind, data) > 8 or picture.mode.startswith("I")
    except MemoryError:
        raise
    except Exception:  # Pillow's parsers raise OSError, SyntaxError, ValueError, TypeError, struct.error, ...
        return None
    orientation = _orientation(kind, picture, data)
    if orientation in _QUARTER_TURNS:
        width, height = height, width
    return Header(kind, width, height, orientation, deep)


def header_of(kind: str, picture: images.Picture) -> Header:
    """Of a picture that common.images decodes."""
    width, height = picture.size
    if picture.orientation in _QUARTER_TURNS:
        width, height = height, width
    return Header(kind, width, height, picture.orientation, picture.deep)


def _heic_header(data: bytes) -> Header | None:
    try:
        picture = read_picture(data)
        return Header("HEIC", *picture.seen, picture.bits > 8)
    except BoxError:
        return None


def is_cut(kind: str, data: bytes) -> bool:
    """Whether the end of the file is missing, as far as its structure tells without decoding."""
    match kind:
        case "JPEG":
            return data.rfind(b"\xff\xd9", _scan_start(data)) < 0
        case "JPEG 2000":  # neither byte pair occurs inside its coded data
            return data.rfind(b"\xff\xd9", max(jpeg2000_start(data), 0)) < 0
        case "PNG":
            return data.rfind(b"IEND") < 0
        case "WebP":
            return int.from_bytes(data[4:8], "little") + 8 > len(data)
        case "AVIF" | "HEIC":
            return _media_end(data) > len(data)
    return False


def overruns(kind: str, data: bytes) -> bool:
    """Whether a part that a decoder takes into memory whole says that it is longer than the rest of the file."""
    if kind != "PNG":
        return False
    at, name = 8, b""
    while at < len(data) and name != b"IEND":
        name = data[at + 4 : at + 8]
        at += 12 + int.from_bytes(data[at : at + 4])
    return at > len(data)


def _scan_start(data: bytes) -> int:
    """Where a JPEG's first scan begins: a thumbnail in its EXIF has an end mark of its own, before that."""
    return next((at for marker, at in jpeg_markers(data) if marker == 0xDA), len(data))


def _media_end(data: bytes) -> int:
    """Where the last byte of any picture of an ISO media file should be: rubbish may follow, and looks like a box."""
    if b"moov" not in (box.name for box in boxes(data)):  # which lists the frames of a sequence
        with contextlib.suppress(BoxError):
            return read_picture(data).end
    return _boxes_end(data)


def _boxes_end(data: bytes) -> int:
    """Where the last top-level box of an ISO media file says that it ends."""
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4])
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16])
        if size == 0:  # to the end of the file
            return len(data)
        at += max(size, 8)
    return at


def _codestream_size(data: bytes) -> tuple[int, int]:
    """What OpenJPEG decodes, whatever the boxes around it say. Raises ValueError."""
    stream = jpeg2000_stream(data)
    if stream is None:
        raise ValueError("no codestream")
    return stream.width, stream.height


def _orientation(kind: str, picture: ImageFile, data: bytes) -> int | None:
    try:
        raw = picture.info.get("exif") or (_late_exif(data) if kind == "PNG" else b"")
        if not raw:
            return None
        # Not picture.getexif(), which would take XMP's word where EXIF has none.
        exif = Image.Exif()
        exif.load(raw)
        value = exif.get(_EXIF_ORIENTATION)
    except Exception:  # a broken EXIF block does not spoil the picture
        return None
    return value if isinstance(value, int) and 1 <= value <= 8 else None


def _late_exif(data: bytes) -> bytes:
    """The EXIF block of a PNG that has it after its pixels, where Pillow has not looked yet."""
    at = data.rfind(b"eXIf")
    if at < 4:
        return b""
    end = at + 4 + int.from_bytes(data[at - 4 : at])
    if zlib.crc32(data[at:end]) != int.from_bytes(data[end : end + 4]):
        return b""
    return data[at + 4 : end]


def bits_of(kind: str, data: bytes) -> int:
    """Bits a channel, as the file says it; 8 where the format has no others."""
    if kind == "PNG":
        return data[24]
    if kind == "JPEG 2000":
        stream = jpeg2000_stream(data)
        return 8 if stream is None else stream.bits
    if kind == "AVIF":
        with contextlib.suppress(BoxError):
            return read_picture(data).bits
    return 8
