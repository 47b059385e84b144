"""What a worker may read in; a file's descriptor, or a URL that was looked at, out; all else is refused."""

# Paths are bytes here, and pathlib holds text only.
# ruff: noqa: PTH115

from __future__ import annotations

import os
import re
import stat
import sys
import urllib.parse
from dataclasses import dataclass

from common.datasets.base import display_path, with_slash
from common.errors import ItemCode, ItemError, UsageError
from common.storage.blocked_hosts import check_host
from common.storage.urls import HTTP, scheme_of, to_send, unescaped

#: Without `O_NONBLOCK` a named pipe would hold the process until somebody writes into it.
READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
#: Schemes that workers read where no URL is among their roots. What is behind others is for the operator to know.
OPEN_SCHEMES = (*HTTP, b"s3", b"s3a", b"gs", b"gcs")

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Allowed:
    """The roots that a worker was started with. Without any, no file, and what is public of the open schemes."""

    #: Real paths.
    folders: tuple[bytes, ...] = ()
    #: In their one form, ending in '/'.
    urls: tuple[bytes, ...] = ()

    def open(self, path: bytes) -> int:
        """A descriptor of the regular file to which the path leads, links and all. Raises OSError and ItemError."""
        if not self.folders:
            raise forbidden()
        try:
            return self._open(path)
        except OSError:
            # Nor is it told what there is, and what not, elsewhere.
            if not self._holds(os.path.realpath(path)):
                raise forbidden() from None
            raise

    def _open(self, path: bytes) -> int:
        """The name is asked of what was opened: whoever changes a link meanwhile changes nothing."""
        if sys.platform == "darwin":
            import fcntl

            handle = os.open(path, READ)
            name = fcntl.fcntl(handle, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\0")
            if self._holds(name):
                return handle
            os.close(handle)
            raise forbidden()
        # To open a device does something to it: this only names it.
        named = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            link = b"/proc/self/fd/%d" % named
            if not self._holds(os.readlink(link)):
                raise forbidden()
            check_regular(os.fstat(named))
            return os.open(link, READ)
        finally:
            os.close(named)

    def _holds(self, name: bytes) -> bool:
        return any(name.startswith(with_slash(folder)) for folder in self.folders)

    def check_url(self, url: bytes) -> None:
        """Raises ItemError: forbidden. Of a host by name, the address is for whoever connects to it."""
        try:
            place = _place(url)
        except ValueError:
            raise forbidden() from None
        if self.urls:
            if _climbs(place) or not with_slash(place).startswith(self.urls):
                raise forbidden()
        elif (scheme := place.partition(b"://")[0]) not in OPEN_SCHEMES:
            raise forbidden()
        elif scheme in HTTP:
            check_host(urllib.parse.urlsplit(place.decode("ascii", "replace")).hostname or "")


def of_owner(url: bytes) -> Allowed | None:
    """What a run's owner, which is its user, may read for an item; None: everything.

    No redirect leads it home, for workers are shown what it reads; but the user may have named this machine.
    """
    if scheme_of(url).lower() not in HTTP:
        return None
    try:
        check_host(urllib.parse.urlsplit(to_send(url)).hostname or "")
    except ItemError:
        return None
    except ValueError:
        pass  # what is no URL is refused when it is read
    return Allowed()


def url_root(url: bytes) -> bytes:
    """The form in which a root is kept. Raises UsageError."""
    text = display_path(url)
    scheme, _, rest = url.partition(b"://")
    if scheme.lower() in (b"file", b"local"):
        raise UsageError(f"--root {text}: a folder of this machine is given as its path, without {scheme.decode()}://")
    try:
        place = _place(url)
    except ValueError as error:
        raise UsageError(f"--root {text} is no URL that can be a root: {error}") from None
    if not rest.partition(b"/")[0] or _climbs(place) or b"?" in rest or b"#" in rest:
        raise UsageError(f"--root {text}: give a host or bucket and a folder of it, such as https://host/photos/")
    return with_slash(place.rstrip(b"/"))


def forbidden() -> ItemError:
    text = "not below what the worker may read; start it with --root FOLDER or URL, or let images go through Redis"
    return ItemError(ItemCode.FORBIDDEN, text)


def check_regular(status: os.stat_result) -> None:
    """Raises ItemError."""
    if not stat.S_ISREG(status.st_mode):
        raise ItemError(ItemCode.NOT_A_FILE, "not a regular file; give the image itself")


def _place(url: bytes) -> bytes:
    """Scheme, host and path of a URL in the one form in which two of them can be compared. Raises ValueError.

    Of http, from the very text that is sent: without the default port, the query, and escapes that mean nothing.
    """
    scheme = url.partition(b"://")[0].lower()
    if scheme not in HTTP:
        return scheme + url[len(scheme) :]
    parts = urllib.parse.urlsplit(to_send(url))
    if "@" in parts.netloc:
        raise ValueError("it has a user in it")
    host = (parts.hostname or "").rstrip(".")
    host = f"[{host}]" if ":" in host else host
    port = "" if parts.port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{parts.port}"
    path = re.sub(rb"%..", lambda escape: escape[0].upper(), unescaped(parts.path.encode()))
    return f"{parts.scheme}://{host}{port}".encode() + path


def _climbs(place: bytes) -> bool:
    """Whether some server may take a part of the path for a step to the folder above."""
    while (once := urllib.parse.unquote_to_bytes(place)) != place:
        place = once
    return any(part.partition(b";")[0] in (b".", b"..") for part in re.split(rb"[/\\]", place))
