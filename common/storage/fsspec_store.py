"""Whatever else fsspec lists and reads: an object's size first, for who knows what a read of too much does."""

from __future__ import annotations

from typing import Any

from common.datasets.base import pack_path, unpack_path
from common.datasets.files import check_size
from common.limits import MAX_FILE_BYTES
from common.storage.retry import Kind


class AnyStore:
    """Where the file system is not asynchronous, it has no bound on its time but its own."""

    def __init__(self, file_system: Any) -> None:
        self._file_system = file_system

    def read(self, url: bytes, seconds: float) -> bytes:
        info = self._call("info", url, seconds)
        if info["type"] == "directory":
            raise IsADirectoryError
        if info["size"] == 0:
            return b""
        check_size(info["size"] or 0)
        # No more than it has said that it has; one byte too many where it says nothing.
        data: bytes = self._call("cat_file", url, seconds, start=0, end=info["size"] or MAX_FILE_BYTES + 1)
        check_size(len(data))
        return data

    def kind(self, url: bytes, seconds: float) -> Kind:
        return Kind.FOLDER if self._call("info", url, seconds)["type"] == "directory" else Kind.OBJECT

    def names(self, folder: bytes, after: bytes, seconds: float) -> list[bytes]:
        # What an earlier listing has found is not what is there now.
        self._file_system.invalidate_cache()
        own = self._file_system._strip_protocol(pack_path(folder)).rstrip("/")
        names = set()
        for entry in self._call("ls", folder, seconds, detail=True):
            path = entry["name"].rstrip("/")
            if path != own:
                name = unpack_path(path.rpartition("/")[2])
                names.add(name + b"/" if entry["type"] == "directory" else name)
        self._file_system.invalidate_cache()
        return sorted(name for name in names if name > after)

    def _call(self, verb: str, url: bytes, seconds: float, **options: Any) -> Any:
        path = self._file_system._strip_protocol(pack_path(url))
        if not self._file_system.async_impl:
            return getattr(self._file_system, verb)(path, **options)
        from fsspec.asyn import sync

        return sync(self._file_system.loop, getattr(self._file_system, f"_{verb}"), path, timeout=seconds, **options)
