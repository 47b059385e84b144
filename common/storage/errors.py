"""What a storage library raised in; the item's code, and whether to try again, out."""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass

from common.errors import ItemCode, ItemError
from common.storage.blocked_hosts import RefusedAddress

_AGAIN = frozenset(
    getattr(errno, name, errno.EIO)
    for name in (
        *("EBUSY", "EAGAIN", "EPIPE", "ETIMEDOUT", "ECONNRESET", "ECONNREFUSED", "ECONNABORTED"),
        *("EHOSTUNREACH", "ENETUNREACH", "ENETDOWN", "EREMOTEIO"),
    )
)
#: Of botocore and Google's libraries, whose errors are of no common type: what passes, and what wants credentials.
_PASSING = ("Connect", "Transport", "Timeout", "Closed", "Incomplete", "HTTPClient", "Streaming")
_NO_CREDENTIALS = ("Credential", "Token", "Unauthorized", "Profile")


@dataclass(frozen=True, slots=True)
class Fault:
    """Why something could not be read. The words hold no host, path or secret."""

    code: ItemCode
    text: str
    passing: bool = False

    def as_error(self) -> ItemError:
        return ItemError(self.code, self.text)


_NOT_FOUND = Fault(ItemCode.NOT_FOUND, "the worker finds no such object; was it removed after submit?")
_NO_PERMISSION = Fault(
    ItemCode.NO_PERMISSION, "the worker may not read the object; give that machine the credentials for it"
)


def fault_of(error: Exception) -> Fault:
    """Of anything: file systems come from other packages, and raise types of their own."""
    if isinstance(error, ItemError):
        return Fault(error.code, str(error))
    if isinstance(error, MemoryError):
        return Fault(ItemCode.OUT_OF_MEMORY, "no memory to read the object; run fewer processes on this worker")
    if isinstance(error, FileNotFoundError):
        return _NOT_FOUND
    if isinstance(error, PermissionError):
        return _NO_PERMISSION
    if isinstance(error, IsADirectoryError):
        return Fault(ItemCode.NOT_A_FILE, "not an object but a folder; give the image itself")
    if (status := _status(error)) is not None:
        return _of_status(status)
    return _of_connection(error)


def _status(error: Exception) -> int | None:
    """The answer's number in an error of aiohttp or gcsfs."""
    for name in ("status", "code"):
        value = getattr(error, name, None)
        if isinstance(value, int) and 300 <= value < 600:
            return value
    return None


def _of_status(status: int) -> Fault:
    if status in (404, 410):
        return _NOT_FOUND
    if status in (401, 403, 407):
        return _NO_PERMISSION
    return _unreadable(f"the server answers {status}", status in (408, 425, 429) or status >= 500)


def _of_connection(error: Exception) -> Fault:
    module, name = type(error).__module__.partition(".")[0], type(error).__name__
    if isinstance(error, TimeoutError):
        return _unreadable("it takes too long", True)
    cause = getattr(error, "os_error", error)
    if isinstance(cause, RefusedAddress):
        return Fault(ItemCode.FORBIDDEN, str(cause))
    if isinstance(cause, socket.gaierror):
        return _unreadable("its host is not known", cause.errno == socket.EAI_AGAIN)
    if "Redirect" in name:
        return _unreadable("it is redirected too often, or to no server", False)
    if module in ("botocore", "google") and any(word in name for word in _NO_CREDENTIALS):
        return _NO_PERMISSION
    if (
        isinstance(error, (ConnectionError, EOFError))
        or (module == "aiohttp" and not isinstance(error, ValueError))
        or (module in ("botocore", "aiobotocore", "google") and any(word in name for word in _PASSING))
        or (isinstance(error, OSError) and error.errno in _AGAIN)
    ):
        return _unreadable("the connection fails", True)
    return _unreadable(name, False)


def _unreadable(why: str, passing: bool) -> Fault:
    return Fault(ItemCode.READ_ERROR, f"the object cannot be read ({why}); retry the item", passing)
