"""A run's figures, as its owner would tell them."""

from __future__ import annotations

from common.protocol.ledger import RunState
from common.protocol.messages import ItemRecord, ItemTiming
from common.stage_histogram import StageSeconds
from producer.rundir.progress import Progress
from producer.scheduler.run_stats import Figures

NOW = 1_800_000_000.0


def said(run: str, said: float = NOW, state: RunState = RunState.RUNNING) -> Figures:
    stages = StageSeconds()
    stages.add([ItemRecord(timing=ItemTiming(0.0, 0.0005, 0.002, 0.003, 0.2, 1e9))])
    progress = Progress(run, state, None, 7, 2, 30, 3.5, None, 2, 4, 5, 60.0, said, stored=6, sent_again=1)
    return Figures(
        progress=progress,
        name="street",
        detector="hog",
        queue="hog-1234",
        priority=3,
        host="here",
        failed_by={"empty": 2},
        attempts=9,
        sent_again_by={"lost": 1},
        splits=1,
        oldest_open_s=1.5,
        stages=stages.histograms(),
        last_progress=said - 2,
        said=said,
    )
