"""What becomes of the options of a run, given what a worker says of the detector."""

from __future__ import annotations

import pytest

from common.errors import UsageError
from common.protocol.detector_info import DetectorInfo
from producer.run.plan import DetectionChoices, build_spec, size_note


def detector(**more: object) -> DetectorInfo:
    facts: dict[str, object] = {
        "name": "p6",
        "family": "onnx",
        "head": "yolov8",
        "weights_sha256": "0" * 64,
        "labels": ("a",),
        "input_size": (640, 640),
        "flexible_input": True,
        "iou_adjustable": True,
        "refilterable": True,
        "default_conf": 0.25,
        "default_iou": 0.7,
        "preprocessing": "RGB",
    }
    return DetectorInfo(**{**facts, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "stride", "size", "note"),
    [
        ("1056", 64, (1088, 1088), "--imgsz 1056 is rounded up to 1088x1088: p6 takes multiples of 64"),
        ("640x1056", 64, (640, 1088), "--imgsz 640x1056 is rounded up to 640x1088: p6 takes multiples of 64"),
        ("640", 64, (640, 640), ""),
        ("480x640", 32, (480, 640), ""),
        ("100", 32, (128, 128), "--imgsz 100 is rounded up to 128x128: p6 takes multiples of 32"),
    ],
)
def test_a_size_is_rounded_up_to_the_stride_and_said(text: str, stride: int, size: tuple[int, int], note: str) -> None:
    info = detector(stride=stride)
    spec = build_spec(DetectionChoices(imgsz=text), info, ("photos",), "/")
    assert spec.imgsz == size
    assert size_note(text, spec, info) == note


def test_no_size_stays_none_and_says_nothing() -> None:
    spec = build_spec(DetectionChoices(), detector(), ("photos",), "/")
    assert spec.imgsz is None
    assert size_note(None, spec, detector()) == ""


def test_a_fixed_input_refuses_a_size() -> None:
    with pytest.raises(UsageError, match="its input is fixed at 640x640; leave --imgsz out"):
        build_spec(DetectionChoices(imgsz="320"), detector(flexible_input=False), ("photos",), "/")


def test_the_stride_is_not_in_the_digest() -> None:
    """It follows from the weights, and a queue's name must not change with the version that reads it."""
    assert detector(stride=64).digest == detector().digest
