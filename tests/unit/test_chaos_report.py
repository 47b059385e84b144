"""What `make chaos` says of a storm that was stopped: nothing is lost of which nobody knows yet."""

from __future__ import annotations

from dataclasses import replace

from chaos.receipt import Receipt
from chaos.report import KindFacts, Report, by_kind
from chaos.wounds import Victims, Wound

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


def test_each_fault_has_its_seconds() -> None:
    def wound(kind: str, healed_s: float | None) -> Wound:
        return Wound(kind, Victims(), struck=0.0, done=0, healed_s=healed_s)

    wounds = [wound("loading", 14.06), wound("kill", None), wound("loading", 9.0), wound("loading", 21.0)]
    assert by_kind(wounds) == (
        KindFacts("kill", 1, None, None, unhealed=1),
        KindFacts("loading", 3, 14.1, 21.0, unhealed=0, each_s=(14.1, 9.0, 21.0)),
    )
