"""Says what a detector has no use for, and what it lacks."""

from __future__ import annotations

from pathlib import Path

from common.errors import ModelError
from jobs.detect.detectors.base import ModelSource


def path_of(source: ModelSource) -> Path:
    if source.path is None:
        raise ModelError(f"detector {source.name} needs a model file; give --detector NAME=PATH or a path")
    return source.path


def refuse(source: ModelSource, *, head: bool = False, labels: bool = False, weights: bool = False) -> None:
    """Raises ModelError where the user chose a head, labels or weights, and this detector has its own."""
    if head and source.head is not None:
        raise ModelError(f"--head {source.head}: detector {source.name} has no heads to choose from; leave it out")
    if labels and source.labels is not None:
        raise ModelError(f"--labels {source.labels}: detector {source.name} has labels of its own; leave it out")
    if weights and source.weights is not None:
        raise ModelError(
            f"--weights {source.weights}: only a Darknet .cfg has weights in a file of their own, "
            f"and {source.name} is none; leave it out"
        )
