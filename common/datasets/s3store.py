"""S3 and what speaks as it does: one GET an object, and a folder's names page by page."""

from __future__ import annotations

from typing import Any

from common.datasets.base import pack_path, unpack_path
from common.datasets.files import check_size
from common.datasets.stores import Kind

#: Names that are taken at a time, each time with all the seconds: a folder may have millions.
_NAMES = 1000


class S3Store:
    """Goes through s3fs, which finds credentials and endpoint in the environment as all of AWS's tools do."""

    def __init__(self, file_system: Any) -> None:
        self._file_system = file_system

    def read(self, url: bytes, seconds: float) -> bytes:
        """Not by `cat_file`, which asks for the size first: another request for each image."""
        from fsspec.asyn import sync

        data: bytes = sync(self._file_system.loop, self._get, self._path(url), timeout=seconds)
        return data

    async def _get(self, path: str) -> bytes:
        bucket, key, _ = self._file_system.split_path(path)
        answer = await self._file_system._call_s3("get_object", Bucket=bucket, Key=key, **self._file_system.req_kw)
        try:
            check_size(answer["ContentLength"])
            data: bytes = await answer["Body"].read()
            return data
        finally:
            answer["Body"].close()

    def kind(self, url: bytes, seconds: float) -> Kind:
        from fsspec.asyn import sync

        info = sync(self._file_system.loop, self._file_system._info, self._path(url), refresh=True, timeout=seconds)
        return Kind.FOLDER if info["type"] == "directory" else Kind.OBJECT

    def names(self, folder: bytes, seconds: float) -> list[bytes]:
        """Not by `ls`, which holds ten times as much of each object."""
        from fsspec.asyn import sync

        path = self._path(folder)
        bucket, _, key = path.partition("/")
        entries = self._file_system._iterdir(bucket, delimiter="/", prefix=key)
        names: list[bytes] = []
        while some := sync(self._file_system.loop, _take, entries, timeout=seconds):
            for name, is_folder in some:
                # An object with the folder's own name only says that the folder is there.
                if below := unpack_path(name.removeprefix(path)):
                    names.append(below + b"/" if is_folder else below)
        return names

    def _path(self, url: bytes) -> str:
        """With the slash at its end, which s3fs would take away."""
        return pack_path(url.partition(b"://")[2])


async def _take(entries: Any) -> list[tuple[str, bool]]:
    taken = []
    async for entry in entries:
        taken.append((entry["name"], entry["type"] == "directory"))
        if len(taken) == _NAMES:
            break
    return taken
