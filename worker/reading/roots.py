"""Where an item lies for its producer in, its bytes from where it lies here out: if it is below a root of this worker.

`--root /data`, and `--map /data=/mnt/photos` for what has another name here; `--map s3://bucket=/mnt/mirror` works too.
"""

# Paths are bytes here, and pathlib holds text only.
# ruff: noqa: PTH112, PTH117

from __future__ import annotations

import os
from dataclasses import dataclass, field

from common.datasets import Allowed, fetch, is_url, url_root
from common.datasets import whole as whole_of
from common.errors import UsageError
from common.typed_path import expand_list, expand_pairs

#: The root that stands for whatever this user may read: of an embedded worker, whose producer is the same user.
EVERYTHING = b"*"


@dataclass(frozen=True, slots=True)
class Roots:
    """What this worker may read, and which folders have another name here than on the producer's machine."""

    #: (there, here), absolute, without a slash at the end; the longest first, for that one fits best.
    pairs: tuple[tuple[bytes, bytes], ...] = ()
    #: None: everything.
    allowed: Allowed | None = field(default_factory=Allowed)

    @classmethod
    def parse(cls, roots: str, maps: str) -> Roots:
        """FOLDER or URL, and THERE=HERE; several of each separated by commas. HERE is a root too.

        Raises UsageError, also where a folder is none.
        """
        pairs, given = _pairs(expand_pairs(maps)), [os.fsencode(part) for part in _parts(expand_list(roots))]
        folders = [_real(f"--root {os.fsdecode(one)}", one) for one in given if not is_url(one) and one != EVERYTHING]
        folders += [os.path.realpath(here or b"/") for _, here in pairs]
        allowed = Allowed(tuple(folders), tuple(url_root(one) for one in given if is_url(one)))
        return cls(pairs, None if EVERYTHING in given else allowed)

    def read(self, root: bytes, path: bytes) -> bytes:
        """An item's bytes, by its producer's root. Raises ItemError."""
        return fetch(*self.find(root, path), self.allowed)

    def find(self, root: bytes, path: bytes) -> tuple[bytes, bytes]:
        """(root, path) of an item on this machine, given its producer's; the same where no folder fits."""
        for there, here in self.pairs:
            # The root of a list of files may lie above the folder that is mapped.
            whole = whole_of(root, path)
            if whole.startswith(there + b"/"):
                return here or b"/", whole[len(there) + 1 :]
        return root, path


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _pairs(maps: str) -> tuple[tuple[bytes, bytes], ...]:
    pairs = []
    for part in _parts(maps):
        there, equals, here = part.partition("=")
        if not equals or not (os.path.isabs(there) or is_url(there.encode())) or not os.path.isabs(here):
            raise UsageError(
                f"--map {part}: give THERE=HERE, two absolute folders such as /data=/mnt/photos, or s3://bucket=/mnt/mirror"
            )
        _real(f"--map {part}", os.fsencode(here))
        pairs.append((_whole(there), _whole(here)))
    return tuple(sorted(pairs, key=lambda pair: -len(pair[0])))


def _real(option: str, folder: bytes) -> bytes:
    """After all links, for so the system names a file that is open. Raises UsageError."""
    if not os.path.isdir(folder):
        raise UsageError(f"{option}: {os.fsdecode(folder)} is no folder on this machine; is it mounted?")
    return os.path.realpath(folder)


def _whole(folder: str) -> bytes:
    raw = os.fsencode(folder)
    return (raw if is_url(raw) else os.path.normpath(raw)).rstrip(b"/")
