"""`producer up --root`: kept, whatever folder `up` is typed in, and told to the hub's own worker."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from producer.hub.folder import HubFolder
from producer.hub.lifecycle import WORKER, plan
from producer.hub.settings import HubSettings, Wish, absolute_roots


def test_roots_are_kept_until_others_are_given(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = HubSettings.of(Wish(roots=absolute_roots("photos, s3://bucket/in,*,")), None)
    assert first.roots == f"{tmp_path}/photos,s3://bucket/in,*"
    assert HubSettings.of(Wish(), asdict(first)).roots == first.roots
    assert HubSettings.of(Wish(roots="/other"), asdict(first)).roots == "/other"


def test_the_worker_is_told_and_never_by_chance(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("MANYEYES_ROOTS", "/of/another/worker")
    for roots in ("", "/data"):
        parts = plan(HubFolder(tmp_path), HubSettings(roots=roots)).parts
        [worker] = [part for part in parts if part.name == WORKER]
        assert worker.environment["MANYEYES_ROOTS"] == roots
