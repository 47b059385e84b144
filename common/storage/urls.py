"""A URL as it was typed in, the one form of it that is an item's name out. Knows no network."""

from __future__ import annotations

import itertools
import re
import urllib.parse
from collections.abc import Sequence

from common.datasets.base import display_path, with_slash
from common.errors import UsageError
from common.redaction import redact

_SCHEME = re.compile(rb"([A-Za-z][A-Za-z0-9+.-]*)://")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
HTTP = (b"http", b"https")
#: Bytes whose escape means something else than the byte itself: to servers, or to us.
_STAY_ESCAPED = frozenset(b"%?#/\\+\x7f") | frozenset(range(0x20))
#: What needs no escape in a URL; an escape that is there already is one.
_LEGAL = "%/?#[]@!$&'()*+,;=:-._~"


def is_url(path: bytes) -> bool:
    """Whether it begins with `scheme://`. Absolute paths of files never do."""
    return _SCHEME.match(path) is not None


def scheme_of(path: bytes) -> bytes:
    """Empty for a file."""
    return path.partition(b"://")[0] if is_url(path) else b""


def canonical(url: bytes) -> bytes:
    """Scheme and host in lower case. Of http, escapes are undone where that is unambiguous.

    So an index page and a list name an object alike. A URL with a query may be signed, and stays as it is.
    Raises UsageError.
    """
    url = url.strip()
    scheme, _, rest = url.partition(b"://")
    scheme = scheme.lower()
    host, slash, path = rest.partition(b"/")
    login = host.rpartition(b"@")[0]
    # Of http a name alone is a token; elsewhere, as in sftp, it is a name.
    if b":" in login or (login and scheme in HTTP):
        raise UsageError(
            f"{redact(display_path(url))} has a login in it, which would be written into the run; "
            "configure it: docs/datasets.md has how"
        )
    if scheme in (b"file", b"local"):
        raise UsageError(
            f"{display_path(url)} is a file of this machine: give its path, without {display_path(scheme)}://"
        )
    if not host:
        raise UsageError(f"{display_path(url)} names no bucket or host: give {display_path(scheme)}://NAME/...")
    if scheme in HTTP:
        host = host.lower()
        if b"%" in path and b"?" not in path:
            path = unescaped(path)
    return scheme + b"://" + host + slash + path


def unescaped(path: bytes) -> bytes:
    """Without the escapes that mean the byte itself."""
    return _ESCAPE.sub(_unescaped, path)


def _unescaped(escape: re.Match[bytes]) -> bytes:
    byte = int(escape[1], 16)
    return escape[0] if byte in _STAY_ESCAPED else bytes([byte])


def to_send(url: bytes) -> str:
    """Of http: what goes over the wire, all escaped that must be."""
    return urllib.parse.quote(url, safe=_LEGAL)


def whole(root: bytes, path: bytes) -> bytes:
    """An item's own URL, or its absolute path."""
    return with_slash(root) + path


def parent(url: bytes) -> bytes:
    """Ends in '/'."""
    return with_slash(url.rstrip(b"/").rpartition(b"/")[0] + b"/")


def common_parent(folders: Sequence[bytes]) -> bytes:
    """Of folders that end in '/', and of one scheme; without a slash at the end, but for `https://`."""
    # All in between share what the first and the last share.
    scheme, _, first = min(folders).partition(b"://")
    last = max(folders).partition(b"://")[2]
    ends = zip(first.split(b"/"), last.split(b"/"), strict=False)
    shared = [one for one, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], ends)]
    return scheme + b"://" + b"/".join(shared).removesuffix(b"/")


def glob_base(url: bytes) -> tuple[bytes, tuple[str, ...]]:
    """(the folder before the first wildcard, ending in '/'; the segments from there on), the latter empty for no glob.

    A `?` is a wildcard in names of objects, but begins the query of a web address.
    """
    scheme, _, rest = url.partition(b"://")
    magic = b"*[" if scheme in HTTP else b"*[?"
    if scheme in HTTP and b"?" in rest:
        return url, ()
    segments = rest.split(b"/")
    for number, segment in enumerate(segments):
        if any(byte in magic for byte in segment):
            if number == 0:
                raise UsageError(f"{display_path(url)} has a wildcard in its bucket or host: name it")
            base = scheme + b"://" + b"/".join(segments[:number]) + b"/"
            return base, tuple(s.decode("utf-8", "surrogateescape") for s in segments[number:] if s)
    return url, ()
