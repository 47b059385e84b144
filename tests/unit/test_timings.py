"""`timings.json` and the closing table: figures worked out by hand from known stages and facts."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from producer.results.assemble import Outcome
from producer.results.timings import ProcessFacts, RunFacts, summary_table, write_timings
from tests.unit.tabled import failed, ok, pending, run

FACTS = RunFacts(
    wall_s=12.0,
    span_s=10.0,
    images=4,
    startup_s=1.5,
    first_result_s=2.0,
    queue_waits_s=tuple(number / 100 for number in range(101)),
    processes=(ProcessFacts("host", 11, 3, 9.0, 8.5), ProcessFacts("host", 12, 1, 7.0, 6.5)),
    producer_cpu_s=0.5,
    broker_cpu_s=0.25,
    worker_parent_cpu_s=0.125,
)


def figures(folder: Path, facts: RunFacts) -> dict[str, Any]:
    write_timings(folder, facts)
    data: dict[str, Any] = json.loads((folder / "timings.json").read_text())
    return data


def outcome(folder: Path, **changes: Any) -> Outcome:
    fields: dict[str, Any] = {
        "run_id": "20250101-120000-abcdefgh",
        "run_dir": str(folder),
        "state": "done",
        "items": 1234,
        "ok": 1231,
        "failed": 3,
        "pending": 0,
        "detections": 5678,
        "errors": {"empty": 1, "truncated": 2},
        "seconds": 12.04,
        "images_per_s": 123.45,
        "digest": "0" * 64,
        **changes,
    }
    return Outcome(**fields)


def printed(shown: Outcome, width: int = 100) -> str:
    text = io.StringIO()
    Console(file=text, width=width).print(summary_table(shown))
    return text.getvalue()


def test_figures_are_those_worked_out_by_hand(tmp_path: Path) -> None:
    # infer takes 4, 8, 12, 16 ms: tabled.ok.
    run(tmp_path, [ok(item, b"%d" % item) for item in range(4)])
    data = figures(tmp_path, FACTS)
    assert data["images_per_s"] == 0.4
    assert data["parallel_efficiency"] == 0.8, "(9 + 7) / (2 x 10)"
    assert data["queue_wait_s"] == {"shards": 101, "p50": 0.5, "p95": 0.95}
    assert data["stages"]["fetch"] == {"p50_ms": 1.0, "p95_ms": 1.0, "p99_ms": 1.0, "share": 0.00025}
    assert data["stages"]["infer"] == pytest.approx(
        {"p50_ms": 10.0, "p95_ms": 15.4, "p99_ms": 15.88, "share": 0.0025}, abs=1e-5
    )
    shares = sum(stage["share"] for stage in data["stages"].values())
    assert data["other_share"] == pytest.approx(1 - shares, abs=1e-6)
    assert data["cpu_s"] == {"producer": 0.5, "broker": 0.25, "worker_parents": 0.125, "processes": 15.0}
    assert data["processes"][0] == {"worker": "host", "process": 11, "images": 3, "busy_s": 9.0, "cpu_s": 8.5}
    assert (data["wall_s"], data["startup_s"], data["first_result_s"]) == (12.0, 1.5, 2.0)


def test_shares_hold_for_an_owner_that_saw_half_of_the_run(tmp_path: Path) -> None:
    run(tmp_path, [ok(item, b"%d" % item) for item in range(4)])
    half = RunFacts(span_s=5.0, images=2, processes=(ProcessFacts("host", 11, 2, 8.0, 8.0),))
    assert figures(tmp_path, half)["stages"] == figures(tmp_path, FACTS)["stages"]


def test_a_run_of_which_nothing_was_done_has_figures_too(tmp_path: Path) -> None:
    run(tmp_path, [pending(0, b"a")])
    data = figures(tmp_path, RunFacts())
    assert (data["images_per_s"], data["parallel_efficiency"], data["stages"]) == (0.0, None, {})
    assert data["queue_wait_s"] == {"shards": 0, "p50": None, "p95": None}
    text = printed(outcome(tmp_path, pending=1234, ok=0, failed=0, errors={}, state="cancelled"))
    assert "cancelled" in text and "1,234 pending" in text and "time" not in text


def test_the_table_says_how_it_went_and_where_everything_is(tmp_path: Path) -> None:
    run(tmp_path, [ok(0, b"a"), failed(1, b"b")])
    write_timings(tmp_path, FACTS)
    (tmp_path / "detections.csv").touch()
    for name in ("journal.bin", "progress.json", "lease.json"):
        (tmp_path / name).touch()
    text = printed(outcome(tmp_path), 300)
    assert "20250101-120000-abcdefgh, done" in text
    assert "1,234: 1,231 ok, 3 failed" in text and "2 truncated, 1 empty" in text
    assert "5,678" in text and "123.5 images/s, 12.0 s in all, 2 processes busy 80% of the time" in text
    assert "fetch 0%" in text and "other " in text
    assert f"{tmp_path}/" in text and "detections.csv" in text and "journal.bin" not in text
    assert "progress" not in text and "lease" not in text, "what only producers read"


def test_deep_images_are_told_with_what_helps(tmp_path: Path) -> None:
    run(tmp_path, [ok(0, b"a.png")])
    write_timings(tmp_path, RunFacts())
    assert "8 bits" not in printed(outcome(tmp_path))
    shown = printed(outcome(tmp_path, deep=3), 300)
    assert "3 images of more than 8 bits a channel: the whole range" in shown and "--scale 2%:98%" in shown
    shown = printed(outcome(tmp_path, deep=1, scale="0:4000"), 300)
    assert "1 image of more than 8 bits a channel: mapped to 0..255 by --scale 0:4000" in shown
