"""Says of outputs that no head reads what they look like, so that the user knows what was taken for a detector."""

from __future__ import annotations

from jobs.detect.heads.base import Trial, strides_of


def what_it_looks_like(trial: Trial) -> str:
    """A clause with the remedy, where there is one; empty where nothing is known that looks so."""
    outputs, names = trial.outputs, ", ".join(trial.names)
    shapes = ", ".join("x".join(map(str, out.shape)) or "scalar" for out in outputs)
    ranks = sorted(out.ndim for out in outputs)
    last = [out.shape[-1] if out.ndim else 0 for out in outputs]
    looks = (
        (
            "detection_boxes" in names,
            f"outputs {names} are those of TensorFlow's object detection API (SSD, EfficientDet, Faster R-CNN), which "
            "no head reads",
        ),
        (
            bool(trial.extras),
            f"it also takes the {' and the '.join(sorted(trial.extras))}, and no head that wants it reads outputs of "
            f"{shapes}",
        ),
        (
            ranks == [2] and last[0] in (5, 6),
            f"one output of {shapes} looks like rows of boxes, and nothing says in what order and of what pixels",
        ),
        (
            ranks == [2] and outputs[0].shape[0] == trial.batch,
            f"one output of {shapes} looks like a classification model; export a detector",
        ),
        (
            any(out.ndim == 4 and out.shape[2:] == (1, 4) for out in outputs),
            f"outputs of {shapes} look like pytorch-YOLOv4's, whose boxes are in 0..1; no head reads them",
        ),
        (
            len(ranks) > 1 and set(ranks) <= {4, 5},
            f"outputs of {shapes} look like the raw maps of each stride, without what makes boxes of them; export the "
            "detection layer too (YOLOv5: without --train; YOLOv7: with --grid)",
        ),
        (
            ranks == [4] and _has_spare_dimension(trial),
            f"one output of {shapes} looks like a detector's with a dimension of 1 too many; export it with three",
        ),
        (4 in ranks, f"outputs of {shapes} look like a segmentation model; export a detector"),
        (
            ranks == [2, 3] and 5 in last,
            f"outputs of {shapes} look like MMDetection's, whose pixels the graph does not say; no head reads them",
        ),
        (
            ranks == [1, 1, 2] or (ranks == [2, 2, 3] and 4 in last),
            f"outputs of {shapes} look like those of a torchvision model or an SSD, which no head reads",
        ),
    )
    return next((sentence for is_so, sentence in looks if is_so), "")


def _has_spare_dimension(trial: Trial) -> bool:
    """Whether the only output has columns for all anchors of a grid, or rows of six, but for a dimension of 1."""
    sides = sorted(side for side in trial.outputs[0].shape[1:] if side != 1)
    if len(sides) != 2:
        return False
    least, most = sides
    counts = (most, *([most // 3] if most % 3 == 0 else []))
    return least == 6 or (least > 4 and any(strides_of(count, trial.size) for count in counts))
