"""Detections down to the floor in, those that a person asked for out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from common.errors import UsageError
from common.protocol.spec import Spec


@dataclass(frozen=True, slots=True)
class View:
    """Per image: the scores from `conf` up, of these classes (None: all), and of those the `max_det` best."""

    conf: float
    classes: tuple[int, ...] | None
    max_det: int

    @classmethod
    def of(cls, spec: Spec) -> View:
        """The view that was asked for at submit."""
        return cls(spec.conf, spec.classes, spec.max_det)

    def check(self, spec: Spec) -> None:
        """Raises UsageError for a view that the tables of this spec cannot answer."""
        if not 0 < self.conf <= 1:
            raise UsageError(f"--conf {self.conf:g} is out of range; give a number above 0, at most 1")
        if self.conf < spec.floor:
            raise UsageError(
                f"--conf {self.conf:g} is under the floor: the tables hold no score under the floor "
                f"{spec.floor:g}; submit again with --floor {self.conf:g} to go lower"
            )
        if self.conf != spec.conf and not spec.refilterable:
            raise UsageError(
                f"--conf {self.conf:g} would not equal inferring again: {spec.detector} suppresses boxes inside "
                f"its graph with a threshold of its own; submit again with --conf {self.conf:g}"
            )
        unknown = [number for number in self.classes or () if not 0 <= number < len(spec.labels)]
        if unknown:
            raise UsageError(
                f"--classes {unknown[0]} is not a class of {spec.detector}; give ids from 0 to {len(spec.labels) - 1}"
            )
        if self.max_det < 1:
            raise UsageError(f"--max-det {self.max_det} keeps nothing; give 1 or more")

    def keep(
        self, items: npt.NDArray[Any], class_ids: npt.NDArray[Any], scores: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.bool_]:
        """Which of n detections, ordered by item and score descending, the view shows: (n,) bool.

        The comparison is in float32, as the tables store scores: a score that prints as 0.3 passes conf 0.3.
        """
        keep: npt.NDArray[np.bool_] = scores >= np.float32(self.conf)
        if self.classes is not None:
            keep &= np.isin(class_ids, self.classes)
        kept = np.flatnonzero(keep)
        owners = items[kept]
        first_of_item = np.searchsorted(owners, owners, side="left")
        rank = np.arange(len(kept)) - first_of_item
        keep[kept[rank >= self.max_det]] = False
        return keep
