"""Where a dataset lies for its producer in, where it lies on this machine out: `--map /data=/mnt/photos`.

A mirror of a URL can stand there too: `--map s3://bucket=/mnt/mirror`.
"""

# Paths are bytes here, and pathlib holds text only.
# ruff: noqa: PTH112, PTH117

from __future__ import annotations

import os
from dataclasses import dataclass

from common.datasets import is_url
from common.datasets import whole as whole_of
from common.errors import UsageError


@dataclass(frozen=True, slots=True)
class Roots:
    """Folders that have another name here than on the producer's machine."""

    #: (there, here), absolute, without a slash at the end; the longest first, for that one fits best.
    pairs: tuple[tuple[bytes, bytes], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Roots:
        """`THERE=HERE`, several separated by commas. Raises UsageError, also where HERE is no folder."""
        pairs = []
        for part in filter(None, (part.strip() for part in text.split(","))):
            there, equals, here = part.partition("=")
            if not equals or not (os.path.isabs(there) or is_url(there.encode())) or not os.path.isabs(here):
                raise UsageError(
                    f"--map {part}: give THERE=HERE, two absolute folders such as /data=/mnt/photos, or s3://bucket=/mnt/mirror"
                )
            if not os.path.isdir(here):
                raise UsageError(f"--map {part}: {here} is no folder on this machine; is it mounted?")
            pairs.append((_whole(there), _whole(here)))
        return cls(tuple(sorted(pairs, key=lambda pair: -len(pair[0]))))

    def find(self, root: bytes, path: bytes) -> tuple[bytes, bytes]:
        """(root, path) of an item on this machine, given its producer's; the same where no folder fits."""
        for there, here in self.pairs:
            # The root of a list of files may lie above the folder that is mapped.
            whole = whole_of(root, path)
            if whole.startswith(there + b"/"):
                return here or b"/", whole[len(there) + 1 :]
        return root, path


def _whole(folder: str) -> bytes:
    raw = os.fsencode(folder)
    return (raw if is_url(raw) else os.path.normpath(raw)).rstrip(b"/")
