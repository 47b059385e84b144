"""Tests that a format which cannot be written for a dataset is found before the run."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.datasets import Choosing, open_dataset
from common.errors import UsageError
from jobs.detect.exports import stems
from jobs.detect.exports.stems import check_formats
from tests.unit.test_datasets_lists import touch


def test_two_images_of_one_stem_are_found_before_a_run_that_names_files_by_stem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "0.jpg", "1-a.jpg", "1.jpg", "1.k.jpg", "1.png", "x/1.jpg")
    dataset = open_dataset([str(tmp_path)])

    for formats in (["yolo"], ["coco", "voc"]):
        with pytest.raises(UsageError, match=r"^1\.jpg and 1\.png would be one file .*--exclude"):
            check_formats(formats, dataset, None)
    check_formats(["coco", "csv", "jsonl"], dataset, None)
    check_formats(["yolo"], dataset, 4)
    check_formats(["yolo"], open_dataset([str(tmp_path)], choice=Choosing(exclude=("*.png",))), None)
    monkeypatch.setattr(stems, "_COMPARED", 4)
    check_formats(["yolo"], dataset, None)
