"""Finds JPEG strips and tiles that lack pixels: decoders fill them up in grey, and only warn."""

from __future__ import annotations

from common.errors import ItemCode, ItemError
from common.images.codestreams import jpeg_markers, jpeg_stream
from common.images.errors import corrupt

_END = b"\xff\xd9"
_PROGRESSIVE = 0xC2
#: Zeros at the end that may be coded data, as in a file of its own; a copy that failed was filled up with more.
_MOST_ZEROS = 2
#: How libjpeg's warnings of missing or broken pixels begin; it has others, of oddities that change nothing.
_BROKEN = ("Corrupt JPEG data", "Premature end")


def check_whole(piece: bytes, tables: bytes | None) -> None:
    """`tables` are those that all pieces share. Raises ItemError: truncated, corrupt."""
    import simplejpeg

    if tables:
        if jpeg_stream(tables) is not None:
            raise corrupt("TIFF")  # whose size nobody has checked
        stream = tables[: tables.rfind(_END)] + piece[2:]
    else:
        stream = piece
    ended = _END in piece
    if not ended and (_ends_in_zeros(piece) or any(marker == _PROGRESSIVE for marker, _ in jpeg_markers(piece))):
        raise _cut()
    try:
        colours = simplejpeg.decode_jpeg_header(stream + _END)[2]
        space = "CMYK" if colours in ("CMYK", "YCCK") else "GRAY"
        # An eighth of each side: every bit is read, and little is made of it.
        simplejpeg.decode_jpeg(stream + _END, space, min_height=1, min_width=1, min_factor=8, strict=True)
    except KeyError:
        return  # a kind of subsampling that simplejpeg has no name for
    except ValueError as error:
        if str(error).startswith(_BROKEN):
            raise corrupt("TIFF") if ended else _cut() from None


def _ends_in_zeros(piece: bytes) -> bool:
    return len(piece) - len(piece.rstrip(b"\0")) > _MOST_ZEROS


def _cut() -> ItemError:
    return ItemError(ItemCode.TRUNCATED, "a strip or tile of its JPEG data ends early; copy or download the file again")
