"""What a user submits, and its items: folders, globs, files, lists and URLs, listed and read."""

from __future__ import annotations

from common.datasets import files
from common.datasets.base import IMAGE_SUFFIXES, Item, ListingCounts, display_path, pack_path, unpack_path
from common.datasets.dataset import Dataset
from common.datasets.opening import STDIN, Choosing, open_dataset
from common.errors import ItemError
from common.storage import retry
from common.storage.access import Allowed, of_owner, url_root
from common.storage.urls import is_url, whole

__all__ = [
    "IMAGE_SUFFIXES",
    "STDIN",
    "Allowed",
    "Choosing",
    "Dataset",
    "Item",
    "ListingCounts",
    "display_path",
    "fetch",
    "glance",
    "is_url",
    "of_owner",
    "open_dataset",
    "pack_path",
    "unpack_path",
    "url_root",
    "whole",
]


def fetch(root: bytes, path: bytes, allowed: Allowed | None = None) -> bytes:
    """One item's bytes, as they are, in any thread and any process: whatever it is, or what a worker is allowed.

    Raises ItemError: not_found, forbidden, no_permission, not_a_file, too_large, read_error, out_of_memory; of a URL
    also missing_package, where this machine lacks what reads it.
    """
    if is_url(root):
        return retry.read(whole(root, path), allowed=allowed)
    return files.fetch(root, path, allowed)


def glance(item: bytes) -> bytes | None:
    """The bytes of an item, by its absolute path or URL, if its owner may read them and has them at once."""
    try:
        if is_url(item):
            return retry.read(item, retry.Patience.glance(), of_owner(item))
        return files.fetch(b"/", item.lstrip(b"/"))
    except ItemError:
        return None
