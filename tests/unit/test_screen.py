"""The live view: every size of terminal, and words of other machines that would break it."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from common.ledger import RunState
from producer.figures import Figures
from producer.look import Crew, Look
from producer.progress import Progress
from producer.screen import view
from producer.show import RunLine
from producer.workers import AtWork

HOSTILE = "a\x1b[2J\nb[red]c"


def look(crews: int, name: str = "alpha") -> Look:
    progress = Progress(
        *("20261121-105500-abcdefgh", RunState.RUNNING, 10_000, 1_200, 3, 4_000, 104.5, 84.0, crews, 2 * crews),
        *(8, 35.2, 0.0),
    )
    figures = Figures(
        progress=progress,
        name=name,
        detector="yolox-s",
        queue="yolox-s-1a2b3c4d",
        priority=1,
        host=name,
        failed_by={"not_an_image": 2, "truncated": 1},
        attempts=120,
        sent_again_by={"died": 2, "slow": 1},
        splits=1,
        oldest_open_s=1.2,
        stages={},
        last_progress=99.0,
        said=100.0,
    )
    at = tuple(AtWork(f"{name}/{pid}", progress.run, f"0:{pid * 32}+32", 32, pid) for pid in range(2))
    many = tuple(Crew(f"{name}{number:03}", "w", 2, 2, 52.1, 19.0, at, 0.4) for number in range(crews))
    return Look(RunLine.from_afar(figures, 101.0, "/data/runs/x"), progress, figures, many)


def lines(seen: Look, width: int, height: int) -> list[str]:
    console = Console(file=StringIO(), width=width, height=height, force_terminal=True, color_system=None)
    with console.capture() as shown:
        console.print(view(seen, height))
    return shown.get().splitlines()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 50), (40, 12)])
@pytest.mark.parametrize("crews", [0, 3, 100])
def test_it_fits_the_terminal(width: int, height: int, crews: int) -> None:
    shown = lines(replace(look(crews), away_s=12.0), width, height)
    assert len(shown) < height and max(map(len, shown)) <= width


def test_it_says_how_far_what_failed_and_who_works() -> None:
    shown = lines(look(100), 80, 24)
    text = "\n".join(shown)
    for words in ("12%", "1,200/10,000 images", "104.5 images/s", "ETA 1:24", "3 failed: 2 not_an_image, 1 truncated"):
        assert words in text
    assert "8 open shards, the oldest for 1.2 s; 120 attempts; 3 sent again: 2 died, 1 slow; 1 split" in "\n".join(
        lines(look(100), 120, 24)
    )
    assert "alpha000" in text and "0:32+32 1/32" in text
    assert shown[-1].split()[:4] == ["86", "more", "172", "4480.6"], "rows that do not fit are added up"


def test_words_of_other_machines_are_only_words() -> None:
    text = "\n".join(lines(look(2, HOSTILE), 120, 24))
    assert "\x1b" not in text and "a\\x1b[2J\\nb[red]c" in text
