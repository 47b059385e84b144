"""Names the folders where a user's files are kept between commands; a user without a home has none."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import platformdirs


def cache_folder() -> Path | None:
    """For what can be downloaded again. Creates nothing."""
    return _folder(platformdirs.user_cache_path)


def state_folder() -> Path | None:
    """For what a hub of this user must not lose. Creates nothing."""
    return _folder(platformdirs.user_state_path)


def homeless(what: str, remedy: str) -> str:
    """The line for a user to whom `what` belongs in a folder that is not there."""
    return f"there is no folder for {what}: user id {os.getuid()} has no home, and HOME is not set; {remedy}"


def _folder(of_user: Callable[[str], Path]) -> Path | None:
    """In a container a user id often has no name, hence no home, and HOME may be unset."""
    try:
        return of_user("manyeyes")
    except RuntimeError:
        return None
