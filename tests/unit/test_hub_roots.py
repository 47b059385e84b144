"""`producer up --root`: kept, whatever folder `up` is typed in, and told to the hub's own worker."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
from typer.testing import CliRunner

from producer.cli.hub import commands
from producer.cluster.hub import lifecycle
from producer.cluster.hub.lifecycle import WORKER, plan
from producer.cluster.hub.settings import HubSettings, Wish, absolute_roots
from producer.cluster.hub.state_folder import HubFolder


def test_roots_are_kept_until_others_are_given(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = HubSettings.of(Wish(roots=absolute_roots("photos, s3://bucket/in,*,")), None)
    assert first.roots == f"{tmp_path}/photos,s3://bucket/in,*"
    assert HubSettings.of(Wish(), asdict(first)).roots == first.roots
    assert HubSettings.of(Wish(roots="/other"), asdict(first)).roots == "/other"
    assert HubSettings.of(Wish(roots=""), asdict(first)).roots == ""


class Heard(Exception):
    pass


@pytest.mark.parametrize(
    ("typed", "twin", "roots"),
    [
        ([], None, None),
        (["--root", ""], None, ""),
        (["--root", ""], "/other", ""),
        ([], "", ""),
        ([], "/other", "/other"),
        (["--root", "/data", "--root", "s3://b/"], "/other", "/data,s3://b/"),
    ],
)
def test_an_empty_root_is_one_that_was_given(
    typed: list[str], twin: str | None, roots: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else they could never be taken away."""
    heard: list[Wish] = []

    def hear(folder: HubFolder, wish: Wish, say: object) -> None:
        heard.append(wish)
        raise Heard

    monkeypatch.setattr(lifecycle, "up", hear)
    monkeypatch.delenv("MANYEYES_ROOTS", raising=False)
    if twin is not None:
        monkeypatch.setenv("MANYEYES_ROOTS", twin)
    said = CliRunner().invoke(commands, ["up", "--state", str(tmp_path), *typed])
    assert isinstance(said.exception, Heard), said.output
    assert heard[0].roots == roots


def test_the_worker_is_told_and_never_by_chance(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("MANYEYES_ROOTS", "/of/another/worker")
    for roots in ("", "/data"):
        parts = plan(HubFolder(tmp_path), HubSettings(roots=roots)).parts
        [worker] = [part for part in parts if part.name == WORKER]
        assert worker.environment["MANYEYES_ROOTS"] == roots
