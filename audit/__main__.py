"""constraints.txt in; known vulnerabilities of what it pins out. `make audit`.

Exit codes: 0 nothing is known, or each is explained in explained.toml; 1 something is; 2 not all could be asked.
"""

from __future__ import annotations

import json
import sys
import tomllib
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pip._internal.models.index import PyPI  # the address, as pip has it

ROOT = Path(__file__).parents[1]
#: Its last version has vulnerabilities that will never be mended: a source that says nothing of them knows nothing.
KNOWN_BAD = ("pycrypto", "2.6.1")
_TIMEOUT_S = 20.0
_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Finding:
    """One vulnerability of one pinned version."""

    package: str
    id: str
    #: The same by other names, such as a CVE's.
    aliases: tuple[str, ...]
    mended_in: tuple[str, ...]
    summary: str

    def line(self) -> str:
        remedy = f"mended in {', '.join(self.mended_in)}" if self.mended_in else "not mended yet"
        return f"{self.package}: {self.id} ({', '.join(self.aliases)}), {remedy}: {self.summary}"


class NotAsked(Exception):
    """The source does not say what is known of a version."""


def pins(constraints: str) -> list[tuple[str, str]]:
    """(name, version) of each line."""
    lines = (line.partition("#")[0].strip() for line in constraints.splitlines())
    return [(name, version) for name, equals, version in (line.partition("==") for line in lines) if equals]


def ask(name: str, version: str, source: str) -> list[Finding]:
    """What is known. Raises NotAsked."""
    known = _document(f"{source}/{name}/{version}/json")
    if known is None:
        # A mirror may have a page of the newest version only.
        known = _document(f"{source}/{name}/json")
        if known is None or known.get("info", {}).get("version") != version:
            raise NotAsked(f"{name} {version}: the source has no page of this version")
    if "vulnerabilities" not in known:
        raise NotAsked(f"{name} {version}: the source says nothing of vulnerabilities")
    return _findings(f"{name} {version}", known["vulnerabilities"])


def _findings(package: str, said: Sequence[dict[str, Any]]) -> list[Finding]:
    """Each once: PyPI has some under two names that point to each other."""
    found: list[Finding] = []
    for one in said:
        names = {one["id"], *one["aliases"]}
        if one.get("withdrawn") or any(names & {other.id, *other.aliases} for other in found):
            continue
        summary = " ".join((one.get("summary") or one.get("details") or "").split())[:160]
        found.append(Finding(package, one["id"], tuple(one["aliases"]), tuple(one["fixed_in"]), summary))
    return found


def _document(url: str) -> dict[str, Any] | None:
    """None where there is none. Raises NotAsked where nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:
            document: dict[str, Any] = json.load(answer)
            return document
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise NotAsked(f"the source answers {error.code}") from None
    except (OSError, ValueError) as error:
        raise NotAsked(f"the source cannot be reached: {getattr(error, 'reason', error)}") from None


def check(pinned: Sequence[tuple[str, str]], explained: dict[str, str], source: str) -> int:
    """Print the account, return the exit code."""
    try:
        knows = bool(ask(*KNOWN_BAD, source))
    except NotAsked as error:
        print(f"error: nothing was audited: {error}; run this where PyPI's JSON pages can be read", file=sys.stderr)
        return 2
    if not knows:
        print(
            "error: nothing was audited: the source knows no vulnerabilities at all; ask PyPI itself", file=sys.stderr
        )
        return 2

    def one(pin: tuple[str, str]) -> list[Finding] | NotAsked:
        try:
            return ask(*pin, source)
        except NotAsked as error:
            return error

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        answers = list(threads.map(one, pinned))
    found = [finding for answer in answers if isinstance(answer, list) for finding in answer]
    unasked = [answer for answer in answers if isinstance(answer, NotAsked)]
    return _account(len(pinned), found, unasked, explained)


def _account(count: int, found: list[Finding], unasked: list[NotAsked], explained: dict[str, str]) -> int:
    open_ones = 0
    for finding in found:
        why = next((explained[name] for name in (finding.id, *finding.aliases) if name in explained), None)
        open_ones += why is None
        print(
            f"{finding.line()}\n  "
            + (f"explained: {why}" if why else "NOT EXPLAINED: raise the pin, or audit/explained.toml")
        )
    for name in sorted(set(explained) - {name for finding in found for name in (finding.id, *finding.aliases)}):
        print(f"note: {name} in audit/explained.toml is no longer reported; remove it")
    for error in unasked:
        print(f"not audited: {error}")
    print(f"{count - len(unasked)} of {count} pinned versions audited: {len(found)} known, {open_ones} not explained")
    return 1 if open_ones else 2 if unasked else 0


def main() -> None:
    pinned = pins((ROOT / "constraints.txt").read_text())
    explained = tomllib.loads((Path(__file__).parent / "explained.toml").read_text())
    sys.exit(check(pinned, explained, PyPI.pypi_url))


if __name__ == "__main__":
    main()
