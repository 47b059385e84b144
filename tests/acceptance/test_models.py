"""Models as people have them, by the real command line: blind, without numbers, in two files."""

from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq

from tests.acceptance.commands import only_run, producer
from tests.unit import darknet_files, onnx_graphs


def pictures(folder: Path, count: int) -> None:
    """So many names of one picture."""
    folder.mkdir()
    assert cv2.imwrite(str(folder / "0.png"), np.full((64, 64, 3), 255, np.uint8))
    for number in range(1, count):
        os.link(folder / "0.png", folder / f"{number}.png")


def rows(value: float) -> np.ndarray:
    """Outputs of a YOLOv8 of 64 pixels with three classes, all of one score."""
    return np.concatenate((np.full((1, 4, 84), 8, np.float32), np.full((1, 3, 84), value, np.float32)), axis=1)


def test_a_detector_that_finds_nothing_is_said_while_it_runs_and_at_the_end(tmp_path: Path) -> None:
    pictures(tmp_path / "photos", 120)
    (tmp_path / "photos/z.png").write_bytes(b"no picture")
    onnx_graphs.constant(tmp_path / "blind.onnx", rows(0.001), metadata={"task": "detect"})
    said = producer("submit", "photos", "--detector", "blind.onnx", "-c", 1, "--json", cwd=tmp_path)
    assert (said.code, said.json["ok"], said.json["empty"]) == (3, 120, True)
    ended = said.json["notices"][-1]
    assert ended.startswith("warning: not one of 120 images gave a box with a score of 0.01 or more: usually ")
    assert "the outputs of blind are not what head yolov8 reads" in ended and ended in said.err.splitlines()
    assert json.loads((only_run(tmp_path) / "run.json").read_text())["empty"] is True
    # Whoever goes on knows it from the journal, before the first new result.
    again = producer("resume", "--retry-failed", cwd=tmp_path)
    warnings = [line for line in again.err.splitlines() if line.startswith("warning: not one of 120 images")]
    assert len(warnings) == 2 and "The run goes on; to stop it:  producer cancel" in warnings[0]
    assert ", not one box yet" in again.err
    assert "0: no image gave one, even at the floor" in again.out


def test_a_network_that_gives_no_numbers_fails_each_image(tmp_path: Path) -> None:
    pictures(tmp_path / "photos", 3)
    onnx_graphs.constant(tmp_path / "nan.onnx", rows(np.nan), metadata={"task": "detect"})
    said = producer("submit", "photos", "--detector", "nan.onnx", "-c", 1, "--json", cwd=tmp_path)
    assert (said.code, said.json["errors"], said.json["empty"]) == (3, {"detector_error": 3}, False)
    assert "note: With a made picture, the network gave NaN instead of numbers" in said.err
    errors = pq.read_table(only_run(tmp_path) / "images.parquet")["error"].to_pylist()
    assert (
        errors
        == ["the network gave NaN instead of numbers; export it again in float32 (half=False), and check its weights"]
        * 3
    )


def test_a_model_is_found_with_all_its_files_by_whatever_path(tmp_path: Path) -> None:
    pictures(tmp_path / "photos", 1)
    folder = tmp_path / "lr=0.01,seed=1"
    folder.mkdir()
    onnx_graphs.apart(onnx_graphs.yolov8(folder / "best.onnx"))
    said = producer("submit", "photos", "--detector", "lr=0.01,seed=1/best.onnx", "-c", 1, "--json", cwd=tmp_path)
    assert (said.code, said.json["detections"] > 0) == (0, True), said.err


def test_weights_of_another_name_are_given_by_hand(tmp_path: Path) -> None:
    pictures(tmp_path / "photos", 1)
    cfg = darknet_files.save(tmp_path, name="yolo-obj")
    cfg.with_suffix(".weights").rename(tmp_path / "mine.bin")
    options = ("--detector", "yolo-obj.cfg", "--weights", "mine.bin", "-c", 1)
    given = producer("submit", "photos", *options, cwd=tmp_path)
    assert given.code == 0, given.err
    assert "note: yolo-obj.cfg runs with the weights in mine.bin." in given.err
