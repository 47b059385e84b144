"""Expands `~` and `~user` at the beginning of paths that a user typed."""

from __future__ import annotations

import os
from pathlib import Path

from common.errors import UsageError


def expand(typed: str, cwd: str = "") -> str:
    """The path as a shell would have expanded it: bash leaves the `~` in `--output=~/runs`, quotes and `.env` files.

    As in a shell, `~name` of a user who does not exist is an ordinary name, if there is something of that name.
    Raises UsageError for any other `~` that stands for no folder. `./~` is never expanded.
    """
    if not typed.startswith("~"):
        return typed
    found = os.path.expanduser(typed)  # noqa: PTH111 - pathlib knows no user of `~name` but by an exception
    if found != typed:
        return found
    name = typed.partition("/")[0]
    if name == "~":
        raise UsageError(f"path {typed!r}: this user has no home folder; set HOME, or give the whole path")
    if os.path.lexists(os.path.join(cwd, name)):  # noqa: PTH118
        return typed
    raise UsageError(f"path {typed!r}: there is no user {name[1:]!r} here; write './{typed}' for a file of that name")


def expand_list(typed: str) -> str:
    """The same for each path of a comma-separated list."""
    return ",".join(expand(part.strip()) for part in typed.split(",") if part.strip())


def expand_pairs(typed: str) -> str:
    """The same for both sides of each THERE=HERE of a comma-separated list."""
    pairs = (part.strip().partition("=") for part in typed.split(",") if part.strip())
    return ",".join(f"{expand(there)}{equals}{expand(here)}" for there, equals, here in pairs)


def path(value: str | Path) -> Path:
    """The parser of every option that takes a path of this machine. Its name is what `--help` shows."""
    if not os.fspath(value):
        raise UsageError("the path of an option is empty; give one, or leave the option out")
    return Path(expand(os.fspath(value)))


def text(value: str) -> str:
    """The parser of an option that takes a path or something else that begins with no `~`, such as a URL."""
    return expand(value)
