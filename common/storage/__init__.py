"""Reads files and URLs, within what a worker may read, in bounded attempts."""
