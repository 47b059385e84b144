"""Files and folders that appear whole, and leave nothing behind when they fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.atomic_files import atomic_file, atomic_folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "a"
    with atomic_file(target) as file:
        file.write(b"one")
        assert not target.exists()
    assert target.read_bytes() == b"one" and names(target.parent) == ["a"]


def test_a_failure_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), atomic_file(tmp_path / "a") as file:
        file.write(b"half")
        _ = 1 / 0
    assert (tmp_path / "a").read_bytes() == b"old" and names(tmp_path) == ["a"]


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    for content in ("one", "two"):
        with atomic_folder(tmp_path / "f") as folder:
            (folder / content).touch()
        assert names(tmp_path / "f") == [content] and names(tmp_path) == ["f"]
    with pytest.raises(ZeroDivisionError), atomic_folder(tmp_path / "f") as folder:
        (folder / "three").touch()
        _ = 1 / 0
    assert names(tmp_path / "f") == ["two"] and names(tmp_path) == ["f"]
