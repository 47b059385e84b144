"""S3 and what speaks as it does: one GET an object, and a folder's names page by page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from common.datasets.base import pack_path, unpack_path
from common.datasets.files import check_size, within_bounds
from common.storage.retry import Kind

#: Bytes that are asked of a body at a time.
_CHUNK_BYTES = 1 << 20
#: Ending of S3's directory buckets, which list in no order.
_UNORDERED = "--x-s3"


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
            return await within_bounds(answer["Body"].iter_chunks(_CHUNK_BYTES))
        finally:
            answer["Body"].close()

    def kind(self, url: bytes, seconds: float) -> Kind:
        from fsspec.asyn import sync

        info = sync(self._file_system.loop, self._file_system._info, self._path(url), refresh=True, timeout=seconds)
        return Kind.FOLDER if info["type"] == "directory" else Kind.OBJECT

    def names(self, folder: bytes, after: bytes, seconds: float) -> Iterator[bytes]:
        """Page by page, as S3 lists in byte order: `ls` would hold 1 kB of each object, of all of them."""
        path = self._path(folder)
        bucket, _, prefix = path.partition("/")
        begin = {"StartAfter": prefix + pack_path(after)} if after else {}
        pages = self._pages({"Bucket": bucket, "Prefix": prefix, "Delimiter": "/", **begin}, seconds)
        if bucket.endswith(_UNORDERED):
            pages = iter([[name for page in pages for name in page]])
        for page in pages:
            # An object with the folder's own name only says that the folder is there.
            yield from sorted(name for key in page if (name := unpack_path(key.removeprefix(prefix))) > after)

    def _pages(self, request: dict[str, Any], seconds: float) -> Iterator[list[str]]:
        """Keys, and the prefixes that are folders; each page is a request of its own."""
        from fsspec.asyn import sync

        files, rest = self._file_system, dict[str, str]()
        while True:
            page = sync(
                files.loop, files._call_s3, "list_objects_v2", **request, **rest, **files.req_kw, timeout=seconds
            )
            folders = [one["Prefix"] for one in page.get("CommonPrefixes", ())]
            yield [one["Key"] for one in page.get("Contents", ())] + folders
            if not page.get("IsTruncated"):
                return
            rest = {"ContinuationToken": page["NextContinuationToken"]}

    def _path(self, url: bytes) -> str:
        """With the slash at its end, which s3fs would take away."""
        return pack_path(url.partition(b"://")[2])
