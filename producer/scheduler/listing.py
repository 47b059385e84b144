"""A dataset's listing in, a durable manifest out, in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from producer.rundir.manifest import Manifest


class Listing(threading.Thread):
    """Lists while the owner dispatches what is durable already."""

    def __init__(self, manifest: Manifest, paths: Iterable[bytes] | None, counts: Callable[[], dict[str, int]]) -> None:
        super().__init__(name="listing", daemon=True)
        self._manifest = manifest
        #: None where the manifest is complete.
        self._paths = paths
        self._counts = counts
        self._enough = threading.Event()
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            if self._paths is not None:
                self._manifest.append_all(self._paths, self._counts, self._enough)
        except BaseException as error:
            self._error = error

    def check(self) -> None:
        """Raises what the listing has raised."""
        if self._error is not None:
            raise self._error

    def end(self) -> None:
        """The manifest grows no more when this returns, complete or not."""
        self._enough.set()
        self.join()
