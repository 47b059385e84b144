"""A URL in; its bytes, what it is, or the names below it out: in bounded attempts, each of a bounded time."""

from __future__ import annotations

import functools
import os
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, TypeVar

from common.datasets.base import display_path
from common.errors import ItemCode, ItemError, ManyeyesError, UsageError
from common.limits import FETCH_ATTEMPTS, FETCH_BACKOFF_S, GLANCE_S
from common.storage.access import Allowed
from common.storage.errors import fault_of

T = TypeVar("T")

#: Schemes to the extra of this package that brings what reads them.
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "http": "http", "https": "http"}


class Kind(Enum):
    """What a URL leads to."""

    FOLDER = "folder"
    OBJECT = "object"


class Store(Protocol):
    """One connection's worth of a scheme. Each request of it takes so many seconds at most.

    Raises whatever its library raises; `fault_of` knows what that means.
    """

    def read(self, url: bytes, seconds: float) -> bytes:
        """The object, whole."""

    def kind(self, url: bytes, seconds: float) -> Kind:
        """Raises where there is nothing."""

    def names(self, folder: bytes, after: bytes, seconds: float) -> Iterable[bytes]:
        """What is directly in a folder, whose URL ends in '/': folders end in '/' too.

        In byte order, each once, from behind `after` on.
        """


@dataclass(frozen=True, slots=True)
class Patience:
    """How often to try, and how many seconds for each time."""

    attempts: int
    seconds: float

    @classmethod
    def full(cls) -> Patience:
        return cls(FETCH_ATTEMPTS, _timeout_s())

    @classmethod
    def glance(cls) -> Patience:
        """For an owner, which has a lease to renew."""
        return cls(1, min(GLANCE_S, _timeout_s()))


@functools.cache
def _timeout_s() -> float:
    # Late: it brings pydantic, which runs over local files need not wait for.
    from common.settings import Settings

    return Settings().fetch_timeout


def read(url: bytes, patience: Patience | None = None, allowed: Allowed | None = None) -> bytes:
    """An object's bytes. From any thread, also after a fork. Raises ItemError, with the codes that files have."""
    if allowed is not None:
        allowed.check_url(url)
    return _patiently(lambda store, seconds: store.read(url, seconds), url, patience or Patience.full(), allowed)


def kind(url: bytes) -> Kind:
    """Raises ItemError, as `read` does."""
    return _patiently(lambda store, seconds: store.kind(url, seconds), url, Patience.full())


def names(folder: bytes) -> Iterator[bytes]:
    """In byte order, each once. Raises ItemError, as `read` does, and ManyeyesError for a server without that order."""
    patience, attempt, last = Patience.full(), 1, b""
    while True:
        try:
            for name in _store_of(folder).names(folder, last, patience.seconds):
                if name <= last:
                    where = display_path(folder)
                    raise ManyeyesError(f"{where}: its server lists it in no order of names; submit a list of URLs")
                attempt, last = 1, name
                yield name
            return
        except ManyeyesError:
            raise
        except Exception as error:
            # From where it was: a folder of millions is not begun again.
            _outwait(error, attempt, patience)
            attempt += 1


def _patiently(do: Callable[[Store, float], T], url: bytes, patience: Patience, allowed: Allowed | None = None) -> T:
    for attempt in range(1, patience.attempts + 1):
        try:
            return do(_store_of(url, allowed), patience.seconds)
        except UsageError as error:
            # Of a worker: what the producer has, it lacks.
            raise ItemError(ItemCode.MISSING_PACKAGE, str(error)) from None
        except Exception as error:
            _outwait(error, attempt, patience)
    raise AssertionError("at least one attempt")


def _outwait(error: Exception, attempt: int, patience: Patience) -> None:
    """Return when it is time for the next attempt; raises ItemError where there is none."""
    fault = fault_of(error)
    if not fault.passing or attempt >= patience.attempts:
        raise fault.as_error() from error
    rest(attempt)


def rest(attempt: int) -> None:
    """Before the next attempt. Apart from others, or all that failed together would come again together."""
    time.sleep(FETCH_BACKOFF_S * 2 ** (attempt - 1) * random.uniform(0.5, 1.5))


def check(url: bytes) -> None:
    """Raises UsageError for a scheme that is not known, or whose package is not installed."""
    _store_of(url)


def file_system_class(url: bytes) -> Any:
    """fsspec's. Raises UsageError."""
    import fsspec

    scheme = display_path(url.partition(b"://")[0])
    try:
        return fsspec.get_filesystem_class(scheme)
    except ImportError as error:
        extra = _EXTRAS.get(scheme)
        remedy = f"pip install 'manyeyes[{extra}]'" if extra else " ".join(str(error).split())
        raise UsageError(f"{scheme}:// needs a package that is not installed: {remedy}") from None
    except ValueError:
        raise UsageError(f"{scheme}:// is no scheme that fsspec knows; s3://, gs:// and https:// are some") from None


def _store_of(url: bytes, allowed: Allowed | None = None) -> Store:
    cls = file_system_class(url)
    # Of a server for each host, such as ftp: the host.
    options = tuple(sorted(cls._get_kwargs_from_urls(url.decode("utf-8", "surrogateescape")).items()))
    # A file system that is not asynchronous may be one connection: not for two threads at once.
    thread = 0 if getattr(cls, "async_impl", False) else threading.get_ident()
    # A new one after a fork: it cannot share the event loop's thread, which is not there any more.
    return _opened(os.getpid(), thread, url.partition(b"://")[0], options, allowed)


@functools.lru_cache(maxsize=256)
def _opened(
    pid: int, thread: int, scheme: bytes, options: tuple[tuple[str, Any], ...], allowed: Allowed | None
) -> Store:
    cls = file_system_class(scheme + b"://")
    if scheme in (b"http", b"https"):
        from common.storage.http import WebStore

        return WebStore(cls, allowed)
    if scheme in (b"s3", b"s3a"):
        from common.storage.s3 import S3Store

        return S3Store(cls())
    from common.storage.fsspec_store import AnyStore

    try:
        return AnyStore(cls(**dict(options)))
    except (TypeError, ValueError, OSError) as error:
        words = " ".join(str(error).split())
        raise UsageError(f"{display_path(scheme)}:// cannot be opened by a URL alone: {words}") from None
