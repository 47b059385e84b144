"""Opens a pattern with * ? [ ] or ** as the folder to walk and the choice of its images."""

from __future__ import annotations

import glob
import re

from common.datasets.base import pack_path, unpack_path, with_slash
from common.datasets.files import absolute
from common.datasets.folder import Folder
from common.datasets.pattern import Pattern

_ESCAPED = re.compile(r"\[([*?[])\]")


def open_glob(pattern: bytes) -> Folder:
    """The folder before the first wildcard of an absolute pattern, and what of it matches.

    Hidden names are met only before the first wildcard.
    """
    literal: list[str] = []
    segments = [segment for segment in pack_path(pattern).split("/") if segment not in ("", ".")]
    while segments and (name := _ESCAPED.sub(r"\1", segments[0])) and glob.escape(name) == segments[0]:
        literal.append(name)
        segments.pop(0)
    base = absolute(unpack_path("/" + "/".join(literal)), b"/")
    return Folder(with_slash(base), Pattern(tuple(segments)))
