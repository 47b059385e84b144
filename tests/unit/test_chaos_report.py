"""What `make chaos` says of a storm that was stopped: nothing is lost of which nobody knows yet."""

from __future__ import annotations

from dataclasses import replace

from chaos.receipt import Receipt
from chaos.report import KindFacts, Report

RECEIPT = Receipt(100, lost=0, doubled=0, rows_different=0, files_different=(), failed={}, verify="agrees")
REPORT = Report(
    seed=1,
    seconds=60.0,
    quiet_s=5.0,
    workers=2,
    processes=4,
    kinds=(KindFacts("kill", 3, 1.0, 2.0, unhealed=0),),
    resumed=1,
    surprises=(),
    ended=True,
    images=100,
    done=100,
    receipt=RECEIPT,
)


def test_a_run_that_was_stopped_has_lost_nothing_and_is_not_clean() -> None:
    stopped = replace(REPORT, ended=False, done=40, receipt=None)
    assert not stopped.clean and stopped.to_json()["receipt"] is None
    assert "100, 40 done when it was stopped, for it hung" in stopped.sentence()
    assert "lost" not in stopped.sentence() and "NOT CLEAN" in stopped.sentence()


def test_what_is_lost_or_never_healed_is_not_clean() -> None:
    assert REPORT.clean and "lost 0, doubled 0" in REPORT.sentence()
    assert not replace(REPORT, receipt=replace(RECEIPT, lost=1)).clean
    assert not replace(REPORT, kinds=(KindFacts("kill", 3, 1.0, 2.0, unhealed=1),)).clean
