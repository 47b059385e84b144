"""Says of outputs that no head reads what they look like, so that the user knows what was taken for a detector."""

from __future__ import annotations

from worker.heads.base import Trial


def what_it_looks_like(trial: Trial) -> str:
    """A clause with the remedy; empty where nothing is known that looks so."""
    outputs, names = trial.outputs, {name.lower() for name in trial.names}
    shapes = ", ".join("x".join(map(str, out.shape)) or "scalar" for out in outputs)
    ranks = [out.ndim for out in outputs]
    last = [out.shape[-1] if out.ndim else 0 for out in outputs]
    if any("detection_boxes" in name for name in names):
        return (
            f"outputs {', '.join(trial.names)} are those of TensorFlow's object detection API (SSD, EfficientDet, "
            "Faster R-CNN), which no head reads"
        )
    if trial.extras:
        return (
            f"it also takes the {' and the '.join(sorted(trial.extras))}, and no head that wants it reads outputs of "
            f"{shapes}"
        )
    if ranks == [2] and outputs[0].shape[0] == trial.batch:
        return f"one output of {shapes} looks like a classification model; export a detector"
    if len(ranks) > 1 and set(ranks) <= {4, 5}:
        return (
            f"outputs of {shapes} look like the raw maps of each stride, without what makes boxes of them; "
            "export the detection layer too (YOLOv5: without --train; YOLOv7: with --grid)"
        )
    if 4 in ranks:
        return f"outputs of {shapes} look like a segmentation model; export a detector"
    if sorted(ranks) == [2, 3] and 5 in last:
        return f"outputs of {shapes} look like MMDetection's, whose pixels the graph does not say; no head reads them"
    if sorted(ranks) == [1, 1, 2] or (sorted(ranks) == [2, 2, 3] and 4 in last):
        return f"outputs of {shapes} look like those of a torchvision model or an SSD, which no head reads"
    return ""
