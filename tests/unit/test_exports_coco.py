"""COCO: what pycocotools reads back is what the tables hold, with our ids or a truth's."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO

from common.errors import UsageError
from jobs.detect.exports import Exported, export
from jobs.detect.selection import View
from jobs.detect.tables import parquet
from tests.unit.tabled import LABELS, failed, many, ok, pending, run, spec

PERSON, CAT = (0, 0.9, 10.0, 20.0, 30.5, 60.0), (2, 0.5, 0.0, 0.0, 5.0, 5.0)


def coco(folder: Path, **more: Any) -> Exported:
    return export("coco", folder, spec(), View.of(spec()), **more)


def read(exported: Exported) -> tuple[Any, Any]:
    results, dataset = (json.loads(path.read_bytes()) for path in exported.paths)
    return results, dataset


def truth(folder: Path, names: dict[str, int], categories: dict[str, int]) -> Path:
    path = folder / "truth.json"
    images = [{"id": number, "file_name": name, "width": 640, "height": 480} for name, number in names.items()]
    known = [{"id": number, "name": name} for name, number in categories.items()]
    path.write_text(json.dumps({"images": images, "annotations": [], "categories": known}))
    return path


def test_own_ids_count_from_one_and_the_dataset_stands_beside(tmp_path: Path) -> None:
    run(tmp_path, [ok(0, b"a.jpg"), ok(1, b"b/\xff.jpg", PERSON, CAT), failed(2, b"c.jpg"), pending(3, b"d.jpg")])
    exported = coco(tmp_path)
    assert [path.name for path in exported.paths] == ["detections.coco.json", "dataset.coco.json"]
    results, dataset = read(exported)
    assert results == [
        {"image_id": 2, "category_id": 1, "bbox": [10, 20, 20.5, 40], "score": 0.9},
        {"image_id": 2, "category_id": 3, "bbox": [0, 0, 5, 5], "score": 0.5},
    ]
    assert [(image["id"], image["file_name"]) for image in dataset["images"]] == [(1, "a.jpg"), (2, "b/\\xff.jpg")]
    assert dataset["images"][0] == {"id": 1, "width": 640, "height": 480, "file_name": "a.jpg"}
    assert dataset["categories"] == [{"id": number + 1, "name": label} for number, label in enumerate(LABELS)]


def test_pycocotools_reads_what_the_tables_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "BLOCK_ITEMS", 30)
    rows = many(100, 6)
    run(tmp_path, rows)
    results, dataset = coco(tmp_path).paths
    with contextlib.redirect_stdout(io.StringIO()):
        loaded = COCO(str(dataset)).loadRes(str(results))
    shown = [(row.item + 1, d) for row in rows for d in row.detections if d["score"] >= np.float32(0.3)]
    assert len(loaded.anns) == len(shown) > 50
    for (image, detection), annotation in zip(shown, loaded.dataset["annotations"], strict=True):
        assert (annotation["image_id"], annotation["category_id"]) == (image, detection["class_id"] + 1)
        x, y, w, h = annotation["bbox"]
        assert np.allclose([x, y, x + w, y + h], [detection[name] for name in ("x1", "y1", "x2", "y2")], atol=1e-3)
        assert np.float32(annotation["score"]) == detection["score"], "short, and yet the same float32"


@pytest.mark.parametrize("rows", [[], [ok(0, b"a.jpg")]])
def test_nothing_found_is_an_empty_list(tmp_path: Path, rows: list[parquet.ItemRow]) -> None:
    run(tmp_path, rows)
    results, dataset = read(coco(tmp_path))
    assert results == [] and len(dataset["images"]) == len(rows)


def test_a_truth_gives_its_ids_by_path_or_by_file_name(tmp_path: Path) -> None:
    run(tmp_path, [ok(0, b"x/a.jpg", PERSON), ok(1, b"x/b.jpg", CAT), ok(2, b"y/a.jpg", PERSON)])
    known = truth(tmp_path, {"x/a.jpg": 70, "y/a.jpg": 50, "elsewhere/b.jpg": 9}, {"cat": 17, "person": 1})
    exported = coco(tmp_path, truth=known)
    results, dataset = read(exported)
    assert [(r["image_id"], r["category_id"]) for r in results] == [(70, 1), (9, 17), (50, 1)]
    assert [image["id"] for image in dataset["images"]] == [70, 9, 50]
    assert dataset["categories"] == [{"id": 17, "name": "cat"}, {"id": 1, "name": "person"}]
    assert "labels left out" in exported.notice and LABELS[1] in exported.notice


def test_images_that_the_truth_does_not_know_are_left_out_and_told(tmp_path: Path) -> None:
    run(tmp_path, [ok(0, b"a.jpg", PERSON), ok(1, b"new.jpg", PERSON)])
    exported = coco(tmp_path, truth=truth(tmp_path, {"a.jpg": 5}, {label: i for i, label in enumerate(LABELS)}))
    results, dataset = read(exported)
    assert [r["image_id"] for r in results] == [image["id"] for image in dataset["images"]] == [5]
    assert exported.notice == "1 image left out, not in the truth (new.jpg is the first)"


@pytest.mark.parametrize(
    ("paths", "names", "words"),
    [
        ((b"other.jpg",), {"a.jpg": 1}, "knows no image of this run"),
        ((b"a.jpg",), {"x/a.jpg": 1, "y/a.jpg": 2}, "could be x/a.jpg or y/a.jpg"),
        ((b"x/a.jpg", b"y/a.jpg"), {"a.jpg": 1}, "x/a.jpg and y/a.jpg would both be"),
    ],
)
def test_a_truth_that_does_not_fit_is_refused(
    tmp_path: Path, paths: tuple[bytes, ...], names: dict[str, int], words: str
) -> None:
    run(tmp_path, [ok(item, path, PERSON) for item, path in enumerate(paths)])
    with pytest.raises(UsageError, match=words):
        coco(tmp_path, truth=truth(tmp_path, names, {"person": 1}))
    assert not list(tmp_path.glob("*coco.json"))


def test_a_truth_without_our_labels_or_of_no_form_is_refused(tmp_path: Path) -> None:
    run(tmp_path, [ok(0, b"a.jpg", PERSON)])
    with pytest.raises(UsageError, match="none of the detector's labels; its categories are raccoon"):
        coco(tmp_path, truth=truth(tmp_path, {"a.jpg": 1}, {"raccoon": 1}))
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(UsageError, match="not a COCO file"):
        coco(tmp_path, truth=tmp_path / "list.json")
    with pytest.raises(UsageError, match="No such file"):
        coco(tmp_path, truth=tmp_path / "absent.json")
    with pytest.raises(UsageError, match="leave it out"):
        export("csv", tmp_path, spec(), View.of(spec()), truth=tmp_path / "list.json")


def test_darknets_names_find_cocos_categories(tmp_path: Path) -> None:
    changes: dict[str, object] = {"labels": ("motorbike", "tvmonitor", "sofa")}
    run(tmp_path, [ok(0, b"a.jpg", PERSON, CAT)], **changes)
    known = truth(tmp_path, {"a.jpg": 1}, {"motorcycle": 4, "couch": 63, "tv": 72})
    exported = export("coco", tmp_path, spec(**changes), View.of(spec()), truth=known)
    assert [r["category_id"] for r in read(exported)[0]] == [4, 63] and exported.notice == ""
