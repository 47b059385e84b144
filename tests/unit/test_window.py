"""How much a run may have in flight, and in shards of which length."""

from __future__ import annotations

import pytest

from common.errors import UsageError
from common.limits import OWNER_SHARDS_PER_S
from producer.scheduler.fair_share import priority_of
from producer.scheduler.window import Window, tail_items


def shards(window: Window, image_s: float) -> int:
    """How many whole shards of images that take so long fill the window."""
    sent, in_flight_s = 0, 0.0
    next_s = window.shard_items(image_s) * image_s
    while window.takes(next_s, in_flight_s, sent):
        in_flight_s += next_s
        sent += 1
    return sent


@pytest.mark.parametrize("processes", [1, 2, 7, 64, 1000])
@pytest.mark.parametrize("image_s", [0.0001, 0.003, 0.03, 0.7, 10.0, 200.0])
def test_alone_every_process_has_work_and_some_waits(processes: int, image_s: float) -> None:
    window = Window.of(processes, image_s, seen=True)
    count = shards(window, image_s)
    assert count > processes
    waits_s = (count - processes) * window.shard_items(image_s) * image_s / processes
    assert waits_s <= max(4.0, 2 * image_s), "so long must a newcomer wait"


@pytest.mark.parametrize(("weights", "counts"), [((1, 1), (2, 2)), ((3, 1), (3, 1)), ((1, 1, 1, 1), (1, 1, 1, 1))])
def test_the_seconds_in_flight_are_as_the_weights(weights: tuple[int, ...], counts: tuple[int, ...]) -> None:
    windows = [Window.of(2, 0.03, seen=True, share=weight / sum(weights)) for weight in weights]
    assert tuple(shards(window, 0.03) for window in windows) == counts
    seconds = [window.shard_s * count for window, count in zip(windows, counts, strict=True)]
    assert seconds == pytest.approx([8.0 * weight / sum(weights) for weight in weights])


def test_the_least_share_has_one_short_shard() -> None:
    window = Window.of(2, 0.03, seen=True, share=1 / 101)
    assert shards(window, 0.03) == 1
    assert window.shard_items(0.03) * 0.03 < 0.1


def test_short_shards_are_more() -> None:
    window = Window.of(2, 0.01, seen=True, share=0.5)
    assert window.takes(0.1, 19 * 0.1, 19), "a small run's tail goes in one go"
    assert not window.takes(0.01, 32 * 0.01, 32), "within bounds"


@pytest.mark.parametrize("text", ["0", "101", "-1", "1.5", "high", "", "1e2"])
def test_a_priority_that_there_is_not_is_named(text: str) -> None:
    with pytest.raises(UsageError, match="to 100"):
        priority_of(text)


def test_priorities_are_whole_numbers() -> None:
    assert [priority_of(text) for text in ("1", "3", "100")] == [1, 3, 100]


def sizes_to_the_end(items: int, processes: int, image_s: float) -> list[int]:
    """Of the shards that a run ends with."""
    left, sizes = items, []
    while left:
        sizes.append(min(tail_items(left, processes, image_s), left))
        left -= sizes[-1]
    return sizes


@pytest.mark.parametrize("processes", [1, 2, 16])
def test_the_last_shards_of_few_processes_are_single_images(processes: int) -> None:
    sizes = sizes_to_the_end(2000, processes, 0.1)
    assert sizes == sorted(sizes, reverse=True) and sizes[-4 * processes :] == [1] * (4 * processes)
    assert sizes[0] == 2000 // (4 * processes)


def test_a_thousand_processes_do_not_ask_more_shards_of_an_owner_than_it_manages() -> None:
    # 30 s of work, ten images a second each: 4 s a shard until little is left, not ever less.
    sizes = sizes_to_the_end(300_000, 1000, 0.1)
    assert sizes[0] == 75 and len(sizes) < 30 * OWNER_SHARDS_PER_S * 1.2
    assert sum(size < 40 for size in sizes) < 1500
    # A few images are still shared out among as many as there are.
    assert sizes_to_the_end(100, 1000, 0.1) == [1] * 100
