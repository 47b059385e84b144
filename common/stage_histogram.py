"""Images' timings in, their seconds by stage as a histogram out: a million take no more memory than one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

import numpy as np

from common.protocol.messages import ItemRecord

#: The stages of one image, in the order of its way.
STAGES = ("fetch", "decode", "preprocess", "infer", "postprocess")
#: Seconds. Upper bounds of the buckets; one more is for what takes longer. From a thumbnail's decoding to an image that
#: only its time limit ends.
BOUNDS_S = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0),
)

#: Buckets.
WIDTH = len(BOUNDS_S) + 1
_seconds_of = attrgetter(*(f"{stage}_s" for stage in STAGES))


@dataclass(frozen=True, slots=True)
class Histogram:
    """How long one stage took, over all images."""

    #: Images in each bucket, not cumulative; the last are those above all bounds.
    counts: tuple[int, ...]
    sum_s: float

    @property
    def count(self) -> int:
        return sum(self.counts)


class StageSeconds:
    """The histograms of all stages, as they grow. Every image counts, in `timings.parquet` too."""

    def __init__(self) -> None:
        self._counts = np.zeros(len(STAGES) * WIDTH, np.int64)
        self._sums = np.zeros(len(STAGES))

    def add(self, records: Sequence[ItemRecord]) -> None:
        if not records:
            return
        seconds = np.array([_seconds_of(record.timing) for record in records], np.float64)
        buckets = np.searchsorted(BOUNDS_S, seconds) + np.arange(len(STAGES)) * WIDTH
        self._counts += np.bincount(buckets.ravel(), minlength=self._counts.size)
        self._sums += seconds.sum(axis=0)

    def histograms(self) -> dict[str, Histogram]:
        rows = self._counts.reshape(len(STAGES), WIDTH).tolist()
        return {
            stage: Histogram(tuple(row), round(float(total), 6))
            for stage, row, total in zip(STAGES, rows, self._sums, strict=True)
        }
