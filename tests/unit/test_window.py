"""How much a run may have in flight, and in shards of which length."""

from __future__ import annotations

import pytest

from common.errors import UsageError
from producer.share import priority_of
from producer.window import Window


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
