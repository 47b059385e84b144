"""What `make audit` says, of a source that is served here; and that it never passes off silence as health."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from audit import __main__ as audit
from tests.servers import Web, web_server

BAD = {"id": "PYSEC-1", "aliases": ["CVE-1"], "fixed_in": ["2.0"], "summary": "reads all", "withdrawn": None}


class Index:
    """Pages like PyPI's."""

    def __init__(self, folder: Path, web: Web) -> None:
        self._folder, self.url = folder, web.url
        self.page("pycrypto/2.6.1", "2.6.1", {**BAD, "id": "PYSEC-0", "aliases": []})

    def page(self, path: str, version: str, *vulnerabilities: dict[str, Any]) -> None:
        file = self._folder / path / "json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"info": {"version": version}, "vulnerabilities": vulnerabilities}))


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    with web_server(tmp_path) as web:
        yield Index(tmp_path, web)


def test_a_known_vulnerability_counts_once_unless_it_is_explained(
    index: Index, capsys: pytest.CaptureFixture[str]
) -> None:
    twin = {**BAD, "id": "GHSA-1", "aliases": ["PYSEC-1", "CVE-1"]}
    index.page("a/1.0", "1.0", BAD, twin, {**BAD, "id": "PYSEC-2", "aliases": [], "withdrawn": "2026-01-01"})
    index.page("b/1.0", "1.0")
    pinned = audit.pins("a==1.0\nb==1.0  # why\n\n# nothing\n")
    assert audit.check(pinned, {}, index.url) == 1
    said = capsys.readouterr().out
    assert "a 1.0: PYSEC-1 (CVE-1), mended in 2.0: reads all" in said
    assert "2 of 2 pinned versions audited: 1 known, 1 not explained" in said
    assert audit.check(pinned, {"CVE-1": "we never read", "CVE-9": "gone"}, index.url) == 0
    said = capsys.readouterr().out
    assert "explained: we never read" in said and "CVE-9 in audit/explained.toml is no longer reported" in said


def test_what_could_not_be_asked_is_named_and_is_no_success(index: Index, capsys: pytest.CaptureFixture[str]) -> None:
    # Of a mirror, which has the newest version's page only.
    index.page("a", "1.0")
    index.page("b", "3.0")
    assert audit.check([("a", "1.0"), ("b", "2.0"), ("c", "1.0")], {}, index.url) == 2
    said = capsys.readouterr().out
    assert "not audited: b 2.0" in said and "not audited: c 1.0" in said and "1 of 3 pinned versions" in said


@pytest.mark.parametrize("source", ["http://127.0.0.1:1", "silent"])
def test_a_source_that_knows_nothing_audits_nothing(
    source: str, index: Index, capsys: pytest.CaptureFixture[str]
) -> None:
    index.page("pycrypto/2.6.1", "2.6.1")
    assert audit.check([], {}, index.url if source == "silent" else source) == 2
    assert "nothing was audited" in capsys.readouterr().err
