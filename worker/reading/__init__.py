"""Reads the bytes of a shard's items: from disk, a URL, or Redis."""
