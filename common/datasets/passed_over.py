"""Words what a listing passed over, for refusals and for the table that ends a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.logs import printable

_SUCH = " (@eaDir, Thumbs.db, ...)"
#: Of `run.json`'s `listing`: a count, and what one of them and several are called.
_KINDS = (
    ("not_images", "other file", "other files"),
    ("hidden", "hidden", "hidden"),
    ("leftovers", f"thumbnail or system file{_SUCH}", f"thumbnails and system files{_SUCH}"),
    ("run_dirs", "run directory", "run directories"),
    ("excluded", "excluded", "excluded"),
    ("list_lines", "line without a path", "lines without a path"),
    ("repeated", "repeated", "repeated"),
    ("link_loops", "link loop", "link loops"),
    ("unreadable", "unreadable folder", "unreadable folders"),
)


def words(listing: Mapping[str, Any]) -> str:
    """One line; empty where nothing was passed over. Runs of earlier versions lack some of the counts."""
    parts = []
    for name, one, several in _KINDS:
        if count := listing.get(name, 0):
            endings = _endings(listing) if name == "not_images" else ""
            parts.append(f"{count:,} {one if count == 1 else several}{endings}")
    return ", ".join(parts)


def _endings(listing: Mapping[str, Any]) -> str:
    endings = listing.get("endings", {})
    shown = [f"{count:,} {printable(ending) or 'without an extension'}" for ending, count in endings.items()]
    if shown and (rest := listing["not_images"] - sum(endings.values())):
        shown.append(f"{rest:,} others")
    return f" ({', '.join(shown)})" if shown else ""
