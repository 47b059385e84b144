"""What owners say of their runs in Redis, as others read it."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest
import redis

from common.errors import ItemCode
from common.limits import FINISHED_LIFE_S
from common.protocol import heartbeats
from common.protocol.heartbeats import Beat
from common.protocol.ledger import Ledger, RunState
from common.protocol.messages import ItemRecord, ItemTiming, ShardId, ShardResult, queue_keys, task_queue
from common.stage_histogram import BOUNDS_S
from producer.monitor.reading import ENDED_SHOWN_S, MOST_RUNS, SHOWN_S, read
from producer.rundir.item_set import ItemSet
from producer.scheduler import run_stats
from producer.scheduler.collect import Tally
from producer.scheduler.run_stats import RUNS_KEY, SILENT_S, figures_key
from tests.owners import NOW, said


def test_what_was_written_is_read_and_the_last_word_comes_first(client: redis.Redis) -> None:
    for one in (said("b", NOW - 5), said("a"), said("c", NOW - 9)):
        run_stats.write(client, one)
    assert run_stats.read(client, "a") == said("a")
    assert [one.run for one in run_stats.all_runs(client)] == ["a", "b", "c"]
    assert [one.run for one in run_stats.all_runs(client, since=NOW - 5)] == ["a", "b"]
    assert [one.run for one in run_stats.all_runs(client, most=1)] == ["a"]
    assert run_stats.read(client, "d") is None
    assert 0 < client.ttl(figures_key("a")) <= FINISHED_LIFE_S and client.ttl(RUNS_KEY) > 0


def test_a_run_of_last_week_is_forgotten(client: redis.Redis) -> None:
    run_stats.write(client, said("old", NOW - FINISHED_LIFE_S - 1))
    run_stats.write(client, said("new"))
    assert client.zrange(RUNS_KEY, 0, -1) == [b"new"]


def test_silence_tells_a_run_without_an_owner(client: redis.Redis) -> None:
    running = said("a")
    assert running.state(NOW + SILENT_S) == "running"
    assert running.state(NOW + SILENT_S + 1) == "interrupted"
    paused = said("a", state=RunState.PAUSED)
    assert (paused.state(NOW), paused.state(NOW + SILENT_S + 1)) == ("paused", "interrupted")
    run_stats.write(client, running)
    run_stats.end(client, "a", RunState.CANCELLED, NOW + 100)
    ended = run_stats.read(client, "a")
    assert ended is not None and ended.state(NOW + 10_000) == "cancelled" and ended.progress.stored == 6


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "[]",
        "{}",
        json.dumps({**asdict(said("bad")), "stages": {}}),
        json.dumps({**asdict(said("bad")), "progress": {**asdict(said("bad").progress), "state": "asleep"}}),
        json.dumps({**asdict(said("bad")), "progress": {**asdict(said("bad").progress), "done": "many"}}),
        # No encoder of metrics takes it, no terminal should, no float is as large, and nobody else's words count.
        json.dumps({**asdict(said("bad")), "name": "stra\udcdfe"}),
        json.dumps({**asdict(said("bad")), "host": "\x1b[2J"}),
        json.dumps({**asdict(said("bad")), "attempts": 10**400}),
        json.dumps({**asdict(said("bad")), "last_progress": 1e300}),
        json.dumps(asdict(said("good"))),
    ],
)
def test_what_nobody_can_read_hides_no_other_run(text: str, client: redis.Redis) -> None:
    run_stats.write(client, said("good"))
    client.set(figures_key("bad"), text)
    client.zadd(RUNS_KEY, {"bad": NOW, "gone": NOW})
    assert [one.run for one in run_stats.all_runs(client)] == ["good"]


def test_figures_of_a_later_version_are_read(client: redis.Redis) -> None:
    later = asdict(said("a"))
    later["mood"] = later["progress"]["mood"] = "good"
    client.set(figures_key("a"), json.dumps(later))
    assert run_stats.read(client, "a") == said("a")


def test_codes_that_there_are_not_are_passed_over(client: redis.Redis) -> None:
    made_up = {f"c{number}": 1 for number in range(5000)}
    run_stats.write(client, replace(said("a"), failed_by={**made_up, "empty": 2}, sent_again_by={**made_up, "lost": 1}))
    assert run_stats.read(client, "a") == said("a")


def test_a_tally_counts_stages_and_codes_of_what_is_done_with() -> None:
    ok = ItemRecord(timing=ItemTiming(0.0, BOUNDS_S[0], BOUNDS_S[0] * 1.01, 0.0, 2 * BOUNDS_S[-1], 1.0))
    failed = ItemRecord(error_code=ItemCode.EMPTY, error="", timing=ItemTiming(0.0, 5.0))
    result = ShardResult(ShardId(1, 10, 3), 1, "w", 1, (ok, failed, failed), ShardResult.no_detections())
    done = ItemSet()
    done.add(10, 2)
    tally = Tally()
    tally.count(result, done)
    assert (tally.failed, tally.failed_by) == (1, {"empty": 1})
    stages = tally.stages.histograms()
    assert {stage: histogram.count for stage, histogram in stages.items()} == dict.fromkeys(stages, 2)
    # A bound belongs to its own bucket.
    assert stages["fetch"].counts[0] == 1 and stages["decode"].counts[:2] == (1, 1)
    assert stages["infer"].counts[-1] == 1 and stages["infer"].sum_s == 2 * BOUNDS_S[-1]
    assert stages["fetch"].sum_s == BOUNDS_S[0] + 5.0


def test_a_queue_that_there_cannot_be_hides_nothing_from_the_monitor(client: redis.Redis) -> None:
    run_stats.write(client, said("a"))
    front, in_turn = queue_keys(task_queue("hog-1234"))
    client.rpush(f"manyeyes:{front}", "one")
    client.rpush(f"manyeyes:{in_turn}", "two")
    client.set(f"manyeyes:{task_queue('taken-1234')}", "no list")
    forged = Beat("w/1", "w", "here", 1, ("taken-1234", "hog-1234"))
    client.set(heartbeats.process_key("w/1"), json.dumps(asdict(forged)), ex=60)
    client.zadd(heartbeats.PROCESSES_KEY, {"w/1": NOW, "gone/1": NOW})
    reading = read(client)
    assert reading.waiting == {"hog-1234": 2} and len(reading.processes) == 1
    # It only looks.
    assert client.zcard(heartbeats.PROCESSES_KEY) == 2


def test_runs_drop_out_of_the_metrics(client: redis.Redis) -> None:
    now = Ledger(client, "a").now()
    for run, ago, state in (
        ("ended", ENDED_SHOWN_S - 60, RunState.DONE),
        ("ended long ago", ENDED_SHOWN_S + 60, RunState.DONE),
        ("left", ENDED_SHOWN_S + 60, RunState.RUNNING),
        ("left for good", SHOWN_S + 60, RunState.RUNNING),
    ):
        run_stats.write(client, said(run, now - ago, state))
    assert [run.run for run in read(client).runs] == ["ended", "left"]
    for number in range(MOST_RUNS + 1):
        run_stats.write(client, said(f"going {number}", now))
    assert len(read(client).runs) == MOST_RUNS
