"""One item's bytes from disk, or the code that says why not."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from common import limits
from common.datasets import fetch, files, open_dataset
from common.errors import ItemCode, ItemError


def code(root: Path, path: bytes) -> ItemCode:
    with pytest.raises(ItemError) as caught:
        fetch(os.fsencode(root), path)
    assert "\n" not in str(caught.value) and str(root) not in str(caught.value)
    return caught.value.code


def test_bytes_of_any_name(tmp_path):
    name = b"new\nline \xff.jpg"
    with open(os.fsencode(tmp_path) + b"/" + name, "wb") as file:  # noqa: PTH123 -- the name is no text
        file.write(b"content")

    assert fetch(os.fsencode(tmp_path), name) == b"content"


def test_an_empty_file_has_no_bytes(tmp_path):
    (tmp_path / "a.jpg").touch()

    assert fetch(os.fsencode(tmp_path), b"a.jpg") == b""


def test_a_file_that_vanished_after_it_was_listed(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"x")
    (item,) = open_dataset([str(tmp_path)]).items()
    (tmp_path / "a.jpg").unlink()

    assert code(tmp_path, item.path) is ItemCode.NOT_FOUND


def test_what_is_no_file(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    listener = socket.socket(socket.AF_UNIX)
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    listener.bind("socket")
    listener.close()

    assert code(tmp_path, b"folder") is ItemCode.NOT_A_FILE
    assert code(tmp_path, b"pipe") is ItemCode.NOT_A_FILE
    assert code(tmp_path, b"socket") is ItemCode.NOT_A_FILE
    assert code(tmp_path, b"file/a.jpg") is ItemCode.NOT_FOUND
    assert code(tmp_path, b"loop") is ItemCode.READ_ERROR
    assert code(tmp_path, b"x" * 5000) is ItemCode.READ_ERROR


def test_a_file_over_the_limit_is_not_read(tmp_path):
    with (tmp_path / "big.jpg").open("wb") as file:
        file.truncate(limits.MAX_FILE_BYTES + 1)  # sparse: takes no room
    assert code(tmp_path, b"big.jpg") is ItemCode.TOO_LARGE
    assert files.MAX_FILE_BYTES == limits.MAX_FILE_BYTES


#: Root may read everything; without these two capabilities it is like anybody else.
UNPRIVILEGED = (
    ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"]
    if os.geteuid() == 0
    else []
)


def test_no_permission(tmp_path):
    (tmp_path / "shut").mkdir()
    for name in ("a.jpg", "b.jpg", "shut/c.jpg"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "b.jpg").chmod(0)
    (tmp_path / "shut").chmod(0)
    program = """
import os, sys
from common.datasets import fetch, open_dataset
from common.errors import ItemError, UsageError
root = os.fsencode(sys.argv[1])
dataset = open_dataset([sys.argv[1]])
for item in dataset.items():
    try:
        print(item.path.decode(), fetch(root, item.path).decode())
    except ItemError as error:
        print(item.path.decode(), error.code)
print(dataset.counts.unreadable)
try:
    open_dataset([sys.argv[1] + "/shut"])
except UsageError as error:
    print("Permission denied" in str(error))
"""
    done = subprocess.run(
        [*UNPRIVILEGED, sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    (tmp_path / "shut").chmod(0o700)

    assert done.stdout.splitlines() == ["a.jpg x", "b.jpg no_permission", "1", "True"]
