"""The live view: every size of terminal, and words of other machines that would break it."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from producer.cli.live_view import view
from producer.monitor.run_list import RunLine
from producer.monitor.snapshot import Look, WorkerSeen
from producer.monitor.workers import AtWork
from tests.integration.test_figures import NOW, said

HOSTILE = "a\x1b[2J\nb[red]c"


def look(workers: int, name: str = "alpha") -> Look:
    known = said("20261121-105500-abcdefgh")
    progress = replace(
        known.progress, items=10_000, done=1_200, images_per_s=104.5, eta_s=84.0, open_shards=8, processes=2 * workers
    )
    figures = replace(known, progress=progress, host=name, failed_by={"not_an_image": 2, "truncated": 1})
    at = tuple(AtWork(f"{name}/{pid}", progress.run, f"0:{pid * 32}+32", 32, pid) for pid in range(2))
    many = tuple(WorkerSeen(f"{name}{number:03}", "w", 2, 2, 52.1, 19.0, at, 0.4) for number in range(workers))
    return Look(RunLine.from_afar(figures, NOW + 1, "/data/runs/x"), progress, figures, many)


def lines(seen: Look, width: int, height: int) -> list[str]:
    console = Console(file=StringIO(), width=width, height=height, force_terminal=True, color_system=None)
    with console.capture() as shown:
        console.print(view(seen, height))
    return shown.get().splitlines()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 50), (40, 12)])
@pytest.mark.parametrize("workers", [0, 3, 100])
def test_it_fits_the_terminal(width: int, height: int, workers: int) -> None:
    shown = lines(replace(look(workers), away_s=12.0), width, height)
    assert len(shown) < height and max(map(len, shown)) <= width


def test_it_says_how_far_what_failed_and_who_works() -> None:
    shown = lines(look(100), 80, 24)
    text = "\n".join(shown)
    for words in ("12%", "1,200/10,000 images", "104.5 images/s", "ETA 1:24", "3 failed: 2 not_an_image, 1 truncated"):
        assert words in text
    assert "8 open shards, the oldest for 1.5 s; 9 attempts; 1 sent again: 1 lost; 1 split" in text
    assert "alpha000" in text and "0:32+32 1/32" in text
    assert shown[-1].split()[:4] == ["86", "more", "172", "4480.6"], "rows that do not fit are added up"


def test_a_run_that_is_paused_comes_to_no_end() -> None:
    seen = look(2)
    assert seen.figures is not None
    figures = replace(seen.figures, progress=replace(seen.figures.progress, state="paused"))
    shown = "\n".join(lines(replace(seen, line=RunLine.from_afar(figures, NOW + 1, "/data/runs/x")), 120, 24))
    assert "paused" in shown and "ETA" not in shown


def test_words_of_other_machines_are_only_words() -> None:
    text = "\n".join(lines(look(2, HOSTILE), 120, 24))
    assert "\x1b" not in text and "a\\x1b[2J\\nb[red]c" in text
