"""When a user is told that a detector finds nothing, how often, and in which words."""

from __future__ import annotations

from dataclasses import replace

from common.protocol.detector_info import DetectorInfo
from common.protocol.ledger import RunState
from producer.cli.progress_bar import NO_BOX, describe
from producer.rundir.progress import Progress
from producer.scheduler.emptiness import EmptinessWatch, warning
from tests import owners

AT_WORK = replace(owners.said("run").progress, items=500, detections=0, failed=0)
DETECTOR = DetectorInfo(
    name="best",
    family="onnx",
    head="yolov8",
    weights_sha256="0" * 64,
    labels=("a",),
    input_size=(64, 64),
    flexible_input=False,
    iou_adjustable=True,
    refilterable=True,
    default_conf=0.25,
    default_iou=0.7,
    preprocessing="RGB",
)


def at(stored: int, **others: int | str) -> Progress:
    return replace(AT_WORK, done=stored, stored=stored, **others)


def told(*progress: Progress) -> list[str]:
    reported: list[Progress] = []
    said: list[str] = []
    watch = EmptinessWatch(reported.append, said.append, str)
    for one in progress:
        watch(one)
    assert reported == list(progress)
    return said


def test_it_is_said_once_from_the_hundredth_image_on() -> None:
    assert told(at(0), at(99), at(100), at(160), at(300)) == ["100"]


def test_images_that_failed_do_not_count() -> None:
    assert told(at(150, failed=51)) == []
    assert told(at(151, failed=51)) == ["100"]


def test_images_that_are_not_on_disk_do_not_count() -> None:
    assert told(replace(at(99), done=140)) == []


def test_one_box_is_enough() -> None:
    assert told(at(50, detections=1), at(5000, detections=1)) == []


def test_at_the_end_it_is_said_elsewhere() -> None:
    assert told(at(300, state=RunState.DONE)) == []


def test_the_line_of_progress_says_so_as_long_as_it_is_true() -> None:
    assert [NO_BOX in describe(one) for one in (at(99), at(100), at(200, detections=1))] == [False, True, False]


def test_few_images_are_a_note_and_many_a_warning() -> None:
    assert warning(1, 0.01, DETECTOR).startswith("note: the image has not given a box with a score of 0.01 or more;")
    assert warning(99, 0.01, DETECTOR).startswith("note: none of the 99 images gave a box")
    assert warning(1200, 0.05, DETECTOR).startswith("warning: not one of 1,200 images gave a box with a score of 0.05")


def test_the_head_is_named_only_where_there_is_a_choice_of_heads() -> None:
    assert "not what head yolov8 reads" in warning(100, 0.01, DETECTOR)
    hog = replace(DETECTOR, name="hog", family="hog", head="hog", caution="hog sees people.")
    assert "head" not in warning(100, 0.01, hog)
    assert warning(100, 0.01, hog).endswith("usually hog is made for another kind of image. hog sees people")
