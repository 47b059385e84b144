"""What public exporters write is found where its arrays put the object, or refused with a sentence that is true."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from common.errors import ModelError
from jobs.detect.detectors.base import Detections, DetectOptions, ModelSource
from jobs.detect.detectors.onnx import OnnxDetector, family
from jobs.detect.heads import HEADS
from tests.unit import onnx_exports as made
from tests.unit.onnx_exports import BOX, CLASSES, LABEL, SCORE, SIZE, Export, Input, Scaled

#: (height, width): neither square nor of the network's shape.
IMAGE = (240, 200)
FOUR = (8, 16, 32, 64)


def load(export: Export, folder: Path, head: str | None = None, labels: int | None = None) -> OnnxDetector:
    chosen = None
    if labels is not None:
        chosen = folder / "labels.txt"
        chosen.write_text("".join(f"k{i}\n" for i in range(labels)))
    return family.load(ModelSource("made", export.save(folder / "made.onnx"), head, chosen))


def look(detector: OnnxDetector, floor: float = 0.5) -> Detections:
    image = np.random.default_rng(0).integers(0, 256, (*IMAGE, 3), np.uint8)
    options = DetectOptions(detector.info.default_iou, floor)
    return detector.postprocess(detector.infer(detector.preprocess(image, options)), image, options)


def expected(fit: str) -> list[float]:
    """The object in pixels of the image."""
    height, width = IMAGE
    x, y = SIZE[1] / width, SIZE[0] / height
    left = top = 0.0
    if fit != "stretch":
        x = y = min(x, y)
        left, top = ((SIZE[1] - width * x) / 2, (SIZE[0] - height * y) / 2) if fit == "centre" else (0, 0)
    return [
        min(max((side - margin) / scale, 0), limit)
        for side, margin, scale, limit in zip(BOX, (left, top) * 2, (x, y) * 2, (width, height) * 2, strict=True)
    ]


def is_found(detector: OnnxDetector, fit: str) -> None:
    found = look(detector)
    assert found.boxes.round(1).tolist() == [pytest.approx(expected(fit), abs=0.11)]
    assert found.scores.tolist() == [pytest.approx(SCORE, abs=1e-4)]
    assert found.class_ids.tolist() == [LABEL]


def rows(*columns: str, count: int = 300, batch: float = 0) -> np.ndarray:
    """(count, columns) of zeros but for the object, and an image later in the batch where it has one."""
    out = np.zeros((count, len(columns)), np.float32)
    values = dict(zip(("x1", "y1", "x2", "y2"), BOX, strict=True)) | {"score": SCORE, "class": LABEL, "batch": batch}
    out[0] = [values[column] for column in columns]
    return out


def chosen() -> dict[str, np.ndarray]:
    """Four outputs: number, boxes, scores and classes, with what is beyond the number filled up as exporters do."""
    boxes, scores, ids = np.full((1, 20, 4), -1.0), np.full((1, 20), -1.0), np.full((1, 20), -1)
    boxes[0, 0], scores[0, 0], ids[0, 0] = BOX, SCORE, LABEL
    boxes[0, 1], scores[0, 1], ids[0, 1] = (0, 0, 50, 50), 0.99, 0
    return {
        "num_dets": np.array([[1]], np.int32),
        "det_boxes": boxes.astype(np.float32),
        "det_scores": scores.astype(np.float32),
        "det_classes": ids.astype(np.int32),
    }


def renamed(**parts: str) -> dict[str, np.ndarray]:
    """`chosen`, with parts of its names replaced."""
    outputs = chosen()
    for before, after in parts.items():
        outputs = {name.replace(before, after): out for name, out in outputs.items()}
    return outputs


def pairs() -> tuple[np.ndarray, np.ndarray]:
    """(1, 300, 4) corners in 0..1, (1, 300) scores of a transformer; class numbers are LABEL."""
    queries = made.queries()
    half = queries[:, 2:4] / 2
    boxes = np.concatenate((queries[:, :2] - half, queries[:, :2] + half), axis=1)
    return boxes[None], queries[None, :, 4:].max(axis=2)


def authors(
    *order: str, size: str = "orig_target_sizes", kind: type = np.int64, width_at: int = 0, rounds: bool = False
) -> Export:
    boxes, scores = pairs()
    outputs: dict[str, np.ndarray | Scaled] = {
        "labels": np.full((1, 300), LABEL, np.int64),
        "boxes": Scaled(boxes, size, width_at, rounds=rounds),
        "scores": scores,
    }
    return Export({name: outputs[name] for name in order}, extras=(Input(size, (1, 2), kind),))


def paddle(**more: Input) -> Export:
    out = np.concatenate((rows("class", "score", "x1", "y1", "x2", "y2", count=1), np.full((3, 6), -1, np.float32)))
    out = out.astype(np.float32)
    scaled = Scaled(out, "scale_factor", width_at=1, divides=True, first=2)
    return Export(
        {"multiclass_nms3_0.tmp_0": scaled, "multiclass_nms3_0.tmp_2": np.array([1], np.int32)},
        image=Input("image", ("b", 3, *SIZE)),
        extras=(Input("scale_factor", ("b", 2)), *more.values()),
    )


def paddle_without_nms() -> Export:
    out = made.anchors()
    boxes = np.concatenate((out[:, :2] - out[:, 2:4] / 2, out[:, :2] + out[:, 2:4] / 2), axis=1)[None]
    scaled = Scaled(boxes, "scale_factor", width_at=1, divides=True)
    return Export(
        {"tmp_1": scaled, "concat_14.tmp_0": out[:, 4:].T[None]},
        image=Input("image", (1, 3, *SIZE)),
        extras=(Input("scale_factor", (1, 2)),),
    )


def corners(out: np.ndarray) -> np.ndarray:
    return np.concatenate((out[:, :2] - out[:, 2:4] / 2, out[:, :2] + out[:, 2:4] / 2, out[:, 4:]), axis=1)


def one(out: np.ndarray, name: str = "output0", **meta: str) -> Export:
    return Export({name: out[None]}, meta=meta)


def old_yolov5(*, first: bool = True) -> dict[str, np.ndarray]:
    """Its four outputs; `first` puts the complete one before the maps of each stride."""
    complete = {"output": made.anchors(each=3, objectness=True)[None]}
    maps = {
        f"{stride}": np.random.default_rng(0).normal(size=(1, 3, SIZE[0] // stride, SIZE[1] // stride, 5 + CLASSES))
        for stride in (8, 16, 32)
    }
    parts = {name: out.astype(np.float32) for name, out in maps.items()}
    return {**complete, **parts} if first else {**parts, **complete}


def softmax_logits(scores: np.ndarray) -> np.ndarray:
    """(n, classes + 1) logits whose softmax is the scores, and the rest for no object."""
    whole = np.concatenate((scores, 1 - scores.sum(axis=1, keepdims=True)), axis=1)
    return (np.log(whole) - np.log(whole).min(axis=1, keepdims=True) - 5).astype(np.float32)


def split_nanodet_plus() -> dict[str, np.ndarray]:
    out, outputs, start = made.nanodet_plus(FOUR), {}, 0
    for stride in FOUR:
        cells = (SIZE[0] // stride) * (SIZE[1] // stride)
        part = out[None, start : start + cells]
        outputs[f"cls_{stride}"], outputs[f"dis_{stride}"] = part[..., :CLASSES], part[..., CLASSES:]
        start += cells
    return outputs


def with_bins_in_0_to_1() -> np.ndarray:
    """All bins but the object's: those are only moved, which their softmax does not see."""
    out = made.nanodet_plus(FOUR)
    bins, of_object = out[:, CLASSES:], out[:, LABEL] > 0.5
    bins[of_object] += 50
    bins[~of_object] = bins[~of_object].clip(0, 1)
    return out


QUERIES = made.queries()
UL = made.ultralytics()
TRANSFORMER_ROWS = np.concatenate(
    (QUERIES[:, :4], QUERIES[:, 4:].max(axis=1)[:, None], np.full((300, 1), LABEL, np.float32)), axis=1
)
SCORES_BOXES = {"logits": made.logits(QUERIES[:, 4:])[None], "pred_boxes": QUERIES[None, :, :4]}
RF_DETR = {"dets": QUERIES[None, :, :4], "labels": made.logits(QUERIES[:, 4:])[None]}
NAS = {"pred_bboxes": corners(made.anchors())[None, :, :4], "pred_scores": made.anchors()[None, :, 4:]}
V7 = rows("batch", "x1", "y1", "x2", "y2", "class", "score", count=1)
FLAT = rows("batch", "x1", "y1", "x2", "y2", "score", "class", count=1)

#: By name: the export, the head that reads it, where the image lies, and labels where the outputs count no classes.
FOUND: dict[str, tuple[Export, str, str, int | None]] = {
    "yolov8": (one(made.anchors().T, **UL), "yolov8", "centre", None),
    "yolov8 without metadata": (one(made.anchors().T), "yolov8", "centre", None),
    "yolov8 p2": (one(made.anchors((4, 8, 16, 32)).T), "yolov8", "centre", None),
    "yolov8 p6": (one(made.anchors(FOUR).T), "yolov8", "centre", None),
    "yolov8 turned round": (one(made.anchors(), names=UL["names"]), "yolov8-rows", "centre", None),
    "yolov5": (one(made.anchors(each=3, objectness=True)), "yolov5", "centre", None),
    "yolov5 p6": (one(made.anchors(FOUR, each=3, objectness=True)), "yolov5", "centre", None),
    "yolov5 of four outputs": (Export(old_yolov5()), "yolov5", "centre", None),
    "yolov5 of four outputs, the complete one last": (Export(old_yolov5(first=False)), "yolov5", "centre", None),
    "yolox decoded": (one(made.anchors(objectness=True), names=UL["names"]), "yolox-decoded", "corner", None),
    "end to end": (one(rows("x1", "y1", "x2", "y2", "score", "class"), **UL), "end2end", "centre", None),
    "end to end without metadata": (one(rows("x1", "y1", "x2", "y2", "score", "class")), "end2end", "centre", 3),
    "rtdetr": (one(QUERIES, **UL), "rtdetr", "stretch", None),
    "rtdetr without metadata": (one(QUERIES), "rtdetr", "stretch", None),
    "rtdetr of two classes": (
        one(np.delete(QUERIES, (4, 5, 7), axis=1)[:, [0, 1, 2, 3, 5, 5, 4]], names="['a', 'b', 'c']"),
        "rtdetr",
        "stretch",
        None,
    ),
    "rtdetr in rows": (one(TRANSFORMER_ROWS, **UL, head="RTDETRDecoder"), "rtdetr-rows", "stretch", None),
    "rtdetr in rows without metadata": (one(TRANSFORMER_ROWS), "rtdetr-rows", "stretch", 5),
    "rtdetr of its authors": (authors("labels", "boxes", "scores"), "rtdetr-sized", "stretch", 5),
    "rtdetr of its authors, reordered": (authors("scores", "labels", "boxes"), "rtdetr-sized", "stretch", 5),
    "rtdetr of its authors, int32": (
        authors("labels", "boxes", "scores", kind=np.int32),
        "rtdetr-sized",
        "stretch",
        5,
    ),
    "rtdetr told height before width": (
        authors("boxes", "scores", "labels", size="target_sizes", width_at=1),
        "rtdetr-sized",
        "stretch",
        5,
    ),
    "rtdetr told height before width, rounding its boxes": (
        authors("boxes", "scores", "labels", width_at=1, rounds=True),
        "rtdetr-sized",
        "stretch",
        5,
    ),
    "rfdetr": (Export(RF_DETR, image=Input("input", (1, 3, *SIZE))), "rfdetr", "stretch", None),
    "rfdetr, reordered": (Export(dict(reversed(RF_DETR.items()))), "rfdetr", "stretch", None),
    "detr": (
        Export({"logits": softmax_logits(QUERIES[:, 4:])[None], "pred_boxes": QUERIES[None, :, :4]}),
        "detr",
        "stretch",
        None,
    ),
    "nanodet-plus": (one(made.nanodet_plus(FOUR)), "nanodet-plus", "stretch", None),
    "nanodet-plus of three strides": (one(made.nanodet_plus((8, 16, 32))), "nanodet-plus", "stretch", None),
    "nanodet-plus with bins in 0..1": (one(with_bins_in_0_to_1()), "nanodet-plus", "stretch", None),
    "nanodet-plus of more bins": (one(made.nanodet_plus(FOUR, bins=17)), "nanodet-plus", "stretch", None),
    "nanodet-plus in eight outputs": (
        Export(split_nanodet_plus(), image=Input("data", (1, 3, *SIZE))),
        "nanodet-plus",
        "stretch",
        None,
    ),
    "yolov7 end to end": (Export({"output": V7}), "yolov7-end2end", "centre", 5),
    "yolo-nas": (Export(NAS), "yolonas", "centre", None),
    "yolo-nas, reordered": (Export(dict(reversed(NAS.items()))), "yolonas", "centre", None),
    "yolo-nas flat": (Export({"graph2_flat_predictions": FLAT}), "yolonas-flat", "centre", 5),
    "four outputs, and the metadata of what it was": (Export(chosen(), meta=UL), "efficientnms", "centre", None),
    "yolov8 turned round, and the metadata of what it was": (one(made.anchors(), **UL), "yolov8-rows", "centre", None),
    "four outputs": (Export(chosen()), "efficientnms", "centre", 5),
    "four outputs with super-gradients' names": (
        Export(renamed(num_dets="num_predictions", det_="pred_")),
        "efficientnms",
        "centre",
        5,
    ),
    "four outputs, reordered": (Export(dict(reversed(chosen().items()))), "efficientnms", "centre", 5),
}
#: Those of which only the user knows the pixels: every choice that the refusal names finds the object.
CHOICES: dict[str, tuple[Export, tuple[str, ...], str, int | None]] = {
    "ppyoloe": (paddle(), ("ppyoloe-plus", "ppyoloe"), "stretch", 5),
    "paddle's rtdetr": (paddle(im_shape=Input("im_shape", ("b", 2))), ("ppyoloe-plus", "ppyoloe"), "stretch", 5),
    "ppyoloe without nms": (paddle_without_nms(), ("ppyoloe-plus", "ppyoloe"), "stretch", None),
    "ppyoloe without post-processing": (one(corners(made.anchors())), ("ppyoloe-plus", "ppyoloe"), "stretch", None),
    "logits of a sigmoid": (Export(SCORES_BOXES), ("rfdetr", "rtdetr-logits"), "stretch", None),
}


@pytest.mark.parametrize("case", FOUND)
def test_an_export_is_recognised_and_its_object_found(case: str, tmp_path: Path) -> None:
    export, head, fit, labels = FOUND[case]
    detector = load(export, tmp_path, labels=labels)
    assert detector.info.head == head
    is_found(detector, fit)
    # What is recognised may also be named.
    is_found(load(export, tmp_path, head, labels), fit)


@pytest.mark.parametrize("case", CHOICES)
def test_what_only_the_user_knows_is_asked_and_each_choice_finds_the_object(case: str, tmp_path: Path) -> None:
    export, heads, fit, labels = CHOICES[case]
    with pytest.raises(ModelError, match=f"choose with --head: ({'|'.join(heads)}), ({'|'.join(heads)})$"):
        load(export, tmp_path, labels=labels)
    seen = {head: load(export, tmp_path, head, labels) for head in heads}
    assert len({detector.info.preprocessing for detector in seen.values()}) == len(heads)
    for detector in seen.values():
        is_found(detector, fit)


#: Those whose arrays another family gives too, for other pixels: the head that may be meant, and what is said of it.
DOUBTFUL: dict[str, tuple[Export, str, str]] = {
    "damo-yolo": (Export({"output": NAS["pred_scores"], "952": NAS["pred_bboxes"]}), "yolonas", "DAMO-YOLO and MMYOLO"),
    "mmyolo": (Export(renamed(det_boxes="boxes", det_scores="scores", det_classes="labels")), "efficientnms", "MMYOLO"),
    "tensorrt's efficientdet": (Export(renamed(det_="detection_")), "efficientnms", "not its own names"),
    "picodet": (Export(split_nanodet_plus(), image=Input("image", (1, 3, *SIZE))), "nanodet-plus", "PicoDet"),
}


@pytest.mark.parametrize("case", DOUBTFUL)
def test_the_same_arrays_for_other_pixels_are_asked_and_never_taken_as_sure(case: str, tmp_path: Path) -> None:
    export, head, says = DOUBTFUL[case]
    with pytest.raises(ModelError, match=rf"could be {head}'s, but .*{says}.*choose with --head: {head}$"):
        load(export, tmp_path, labels=5)
    is_found(load(export, tmp_path, head, 5), str(HEADS[head].pixels.fit))


@pytest.mark.parametrize("case", FOUND)
@pytest.mark.parametrize("head", HEADS)
def test_another_head_given_by_hand_finds_the_object_or_is_refused(case: str, head: str, tmp_path: Path) -> None:
    """Never an empty run: a head whose pixels differ may be meant, a head that reads other boxes is refused."""
    export, right, _, labels = FOUND[case]
    if head == right:
        return
    try:
        detector = load(export, tmp_path, head, labels)
    except ModelError as refusal:
        assert f"head {head} " in str(refusal)
        return
    fit = HEADS[head].pixels.fit
    assert look(detector).boxes.round(1).tolist() == [pytest.approx(expected(fit), abs=0.11)]


def batch(export: Export, count: int) -> Export:
    """The same graph for `count` images at once, with another object in the others."""
    outputs = {}
    for name, out in export.outputs.items():
        assert not isinstance(out, Scaled)
        other = np.roll(out, 3, axis=1)
        outputs[name] = np.concatenate((out, *[other] * (count - 1))) if out.ndim > 2 else out
    return replace(export, outputs=outputs, image=Input("images", (count, 3, *SIZE)))


@pytest.mark.parametrize("case", ["yolov8", "yolov5", "rtdetr", "rfdetr", "yolo-nas", "nanodet-plus", "end to end"])
def test_of_a_fixed_batch_the_first_image_is_read(case: str, tmp_path: Path) -> None:
    export, _, fit, labels = FOUND[case]
    detector = load(batch(export, 4), tmp_path, labels=labels)
    prepared = detector.preprocess(np.full((9, 9, 3), 255, np.uint8), DetectOptions(0.5, 0.5))
    assert prepared.shape == (4, 3, *SIZE)
    assert (prepared[0] != 0).any()
    assert not prepared[1:].any()
    is_found(detector, fit)
    assert "export it with batch=1" in detector.info.caution


@pytest.mark.parametrize(
    ("head", "columns"),
    [
        ("yolov7-end2end", ("batch", "x1", "y1", "x2", "y2", "class", "score")),
        ("yolonas-flat", ("batch", "x1", "y1", "x2", "y2", "score", "class")),
    ],
)
def test_rows_of_other_images_of_a_batch_are_left_out(head: str, columns: tuple[str, ...], tmp_path: Path) -> None:
    other = rows(*columns, count=1, batch=1)
    other[0, 1:5] -= 40
    out = np.concatenate((other, rows(*columns, count=1), other))
    is_found(load(Export({"output": out}, image=Input("images", (2, 3, *SIZE))), tmp_path, head, 5), "centre")


@pytest.mark.parametrize(
    ("image", "output", "head"),
    [("images", "output", "yolov7-end2end"), ("input", "graph2_flat_predictions", "yolonas-flat")],
)
def test_no_rows_for_noise_are_told_by_their_names(image: str, output: str, head: str, tmp_path: Path) -> None:
    export = Export({output: np.zeros((0, 7), np.float32)}, image=Input(image, (1, 3, *SIZE)))
    assert load(export, tmp_path, labels=5).info.head == head
    assert len(look(load(export, tmp_path, labels=5)).scores) == 0
    other = {"yolov7-end2end": "yolonas-flat", "yolonas-flat": "yolov7-end2end"}[head]
    with pytest.raises(ModelError, match=f"head {other} would .*these names are {head}'s; try --head {head}$"):
        load(export, tmp_path, other, 5)
    nameless = Export({"x": np.zeros((0, 7), np.float32)}, image=Input("y", (1, 3, *SIZE)))
    with pytest.raises(ModelError, match="choose with --head: yolov7-end2end, yolonas-flat"):
        load(nameless, tmp_path, labels=5)


def test_thresholds_in_the_graph_are_said(tmp_path: Path) -> None:
    for case in ("yolov7 end to end", "yolo-nas flat", "four outputs"):
        export, _, _, labels = FOUND[case]
        info = load(export, tmp_path, labels=labels).info
        assert (info.iou_adjustable, info.refilterable) == (False, False)
    for case, adjustable in (("rtdetr", False), ("rfdetr", False), ("yolo-nas", True), ("nanodet-plus", True)):
        info = load(FOUND[case][0], tmp_path, labels=FOUND[case][3]).info
        assert (info.iou_adjustable, info.refilterable) == (adjustable, True)
    info = load(paddle(), tmp_path, "ppyoloe", 5).info
    assert (info.iou_adjustable, info.refilterable) == (False, False)


NOISE = np.random.default_rng(0)
POSE = np.concatenate((made.anchors()[:, :5], NOISE.uniform(0, 300, (1260, 51))), axis=1).astype(np.float32)
SEGMENT = np.concatenate((made.anchors(), NOISE.normal(size=(1260, 32))), axis=1).astype(np.float32)
OBB = np.concatenate((made.anchors(), NOISE.uniform(0, 0.7, (1260, 1))), axis=1).astype(np.float32)
UNIT = made.anchors() / np.array([*SIZE[::-1], *SIZE[::-1], *[1] * CLASSES], np.float32)
UNIT5 = made.anchors(each=3, objectness=True) / np.array([*SIZE[::-1], *SIZE[::-1], *[1] * (1 + CLASSES)], np.float32)


@pytest.mark.parametrize(
    ("export", "says"),
    [
        (one(POSE.T), r"yolov8's, but 51 of the 52 columns of scores leave 0\.\.1, as keypoints"),
        (one(SEGMENT.T), r"yolov8's, but 32 of the 37 columns of scores leave 0\.\.1"),
        (one(OBB.T), r"yolov8's, but its last column of scores is high nearly everywhere: an angle \(OBB\)"),
        (one(UNIT.T), r"yolov8's, but its boxes are in 0\.\.1 of the image, not in pixels"),
        (one(UNIT5), r"yolov5's, but its boxes are in 0\.\.1 of the image, not in pixels"),
        (one(corners(made.anchors()).T), "yolov8's, but its boxes are corners"),
        (one(made.logits(made.anchors()[:, 4:].clip(1e-3, 0.99)).T), "belong to no head|is not a detector"),
        (
            one(np.concatenate((made.anchors()[:, :4], made.logits(made.anchors()[:, 4:])), axis=1).T),
            r"its scores leave 0\.\.1: the graph lacks its last sigmoid",
        ),
        (Export(dict(list(old_yolov5().items())[1:])), "raw maps of each stride"),
        (
            Export({f"o{n}": np.zeros((1, 144, SIZE[0] // n, SIZE[1] // n), np.float32) for n in (8, 16, 32)}),
            "raw maps of each stride",
        ),
        (
            Export({"dets": RF_DETR["dets"], "labels": RF_DETR["labels"], "masks": np.zeros((1, 300, 9, 9), "f4")}),
            "segmentation",
        ),
        (
            Export(
                {
                    "detection_boxes": np.zeros((1, 100, 4), np.float32),
                    "detection_classes": np.ones((1, 100), np.float32),
                    "detection_scores": np.zeros((1, 100), np.float32),
                    "num_detections": np.array([100], np.float32),
                }
            ),
            "TensorFlow's object detection API",
        ),
        (Export({"boxes": np.ones((1, 99, 1, 4), "f4"), "confs": np.ones((1, 99, 5), "f4")}), "pytorch-YOLOv4"),
        (Export({"output": np.ones((1, 6), "f4")}), "rows of boxes, and nothing says in what order"),
        (Export({"dets": np.ones((1, 100, 5), "f4"), "labels": np.ones((1, 100), np.int64)}), "MMDetection"),
        (
            Export({"boxes": np.ones((9, 4), "f4"), "labels": np.ones(9, np.int64), "scores": np.ones(9, "f4")}),
            "torchvision model or an SSD",
        ),
        (
            Export({"b": QUERIES[None, :, :4], "s": QUERIES[None, :, 4:]}),
            r"its scores are in 0\.\.1 already",
        ),
        (
            one(np.where(np.arange(300)[:, None] < 9, [0.1, 0.2, 0.5, 0.6, 0.9, 3], [0] * 6).astype("f4")),
            r"end2end's, but its boxes are in 0\.\.1",
        ),
        (Export({"output0": made.anchors().T[None, None]}), "1x1x9x1260 looks like a detector's with a dimension of 1"),
        (replace(authors("boxes"), outputs={"x": made.anchors().T[None]}), "it also takes the image size"),
    ],
)
def test_what_no_head_reads_is_refused_with_the_reason(export: Export, says: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=says) as refusal:
        load(export, tmp_path, labels=CLASSES)
    assert "--head:" not in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("case", "head", "says"),
    [
        ("rtdetr", "yolov5", r"its boxes are in 0\.\.1 of the image.*try --head rtdetr$"),
        ("yolov8", "yolox", "cannot read outputs of 1x9x1260; try --head yolov8"),
        ("nanodet-plus", "yolov5", "wrongly: .*try --head nanodet-plus"),
        ("rtdetr in rows", "end2end", "wrongly: .*try --head rtdetr-rows"),
        ("end to end", "rtdetr-rows", "wrongly: .*try --head end2end"),
        ("rfdetr", "detr", "wrongly: .*try --head rfdetr"),
        ("detr", "rfdetr", "wrongly: .*no object.*try --head detr"),
        ("rfdetr", "yolonas", "cannot read"),
    ],
)
def test_a_head_by_hand_is_checked_against_the_values(case: str, head: str, says: str, tmp_path: Path) -> None:
    export, _, _, labels = FOUND[case]
    with pytest.raises(ModelError, match=says):
        load(export, tmp_path, head, labels)


def test_names_of_another_number_than_classes_are_a_true_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="has 5 classes, but its metadata has 80 labels"):
        load(one(made.anchors().T, **made.ultralytics(80)), tmp_path)


def test_cocos_names_need_no_file(tmp_path: Path) -> None:
    export = FOUND["yolov7 end to end"][0].save(tmp_path / "v7.onnx")
    # Commands that start workers elsewhere hand on whole paths.
    for typed in (Path("coco"), Path("coco").absolute()):
        info = family.load(ModelSource("made", export, None, typed)).info
        assert (len(info.labels), info.labels[0]) == (80, "person")
    with pytest.raises(ModelError, match=r"labels coco\.txt cannot be read"):
        family.load(ModelSource("made", export, None, Path("coco.txt")))
    wide = np.concatenate((QUERIES[:, :4], made.logits(np.full((300, 91), 0.01))), axis=1).astype(np.float32)
    by_category = Export({"dets": wide[None, :, :4], "labels": wide[None, :, 4:]})
    labels = load(by_category, tmp_path).info.labels
    assert (len(labels), labels[1], labels[12], labels[90]) == (91, "person", "class_12", "toothbrush")


def test_the_image_of_any_input_is_the_same(tmp_path: Path) -> None:
    image = cv2.resize(np.random.default_rng(1).integers(0, 256, (8, 8, 3), np.uint8), (200, 240))
    options = DetectOptions(0.5, 0.5)
    outputs = {"output0": made.anchors().T[None]}

    def seen(input_: Input) -> np.ndarray:
        detector = load(Export(outputs, image=input_, meta=UL), tmp_path)
        is_found(detector, "centre")
        return np.asarray(detector.preprocess(image, options))

    floats = seen(Input("images", (1, 3, *SIZE)))
    for dtype in (np.float16, np.uint8):
        assert seen(Input("images", (1, 3, *SIZE), dtype)).dtype == dtype
    bytes_ = seen(Input("images", (1, 3, *SIZE), np.uint8))
    assert np.abs(bytes_ / 255 - floats).max() < 1e-6
    last = seen(Input("images", (1, *SIZE, 3)))
    assert (last.transpose(0, 3, 1, 2) == floats).all()
    assert (seen(Input("images", ("n", "h", "w", 3))).shape) == (1, *SIZE, 3)
    grey = seen(Input("images", (1, 1, *SIZE)))
    assert grey.shape == (1, 1, *SIZE)
    assert np.abs(grey[0, 0] - floats[0].T.dot((0.299, 0.587, 0.114)).T).max() < 0.01


def test_preprocessing_says_what_goes_in(tmp_path: Path) -> None:
    outputs = {"output0": made.anchors().T[None]}
    texts = [
        load(Export(outputs, image=Input("images", (1, channels, *SIZE), dtype)), tmp_path).info.preprocessing
        for channels, dtype in ((3, np.float32), (3, np.uint8), (1, np.float32))
    ]
    assert texts[0].startswith("RGB, centre, padded with 114")
    assert texts[0].endswith("std 255.0 255.0 255.0")
    assert texts[1].endswith("mean 0.0 0.0 0.0, std 1.0 1.0 1.0")
    assert texts[2].startswith("GREY, ")


def test_grey_is_refused_where_channels_differ(tmp_path: Path) -> None:
    export = Export({"output": made.nanodet_plus(FOUR)[None]}, image=Input("data", (1, 1, *SIZE)))
    with pytest.raises(ModelError, match="takes grey images, and head nanodet-plus is for colour"):
        load(export, tmp_path)
