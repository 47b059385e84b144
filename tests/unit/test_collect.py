"""What an owner takes into memory at a time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis

from common.errors import ItemCode, ManyeyesError
from common.limits import MAX_RESULT_BYTES
from common.protocol.ledger import Ledger, shard_key
from common.protocol.messages import DETECTION_DTYPE, ItemRecord, ShardId, ShardResult
from producer.rundir.journal import Journal
from producer.scheduler.collect import BATCH_ITEMS, Collector, Tally, batches

ONE, TWO = ShardId(0, 0, 1), ShardId(0, 1, 1)


def test_many_shards_at_once_are_taken_in_bounded_batches() -> None:
    sizes = [BATCH_ITEMS // 4] * 9 + [1, 4 * BATCH_ITEMS, 1]
    ids = [ShardId(0, sum(sizes[:n]), size) for n, size in enumerate(sizes)]
    found = list(batches(ids))
    assert [shard for batch in found for shard in batch] == ids
    # One that is larger than that comes alone.
    assert [len(batch) for batch in found] == [4, 4, 2, 1, 1]
    assert list(batches([])) == []


@pytest.mark.parametrize("there", [True, False])
def test_a_worker_is_blind_also_where_the_first_image_is_missing_everywhere(
    there: bool, client: redis.Redis, tmp_path: Path
) -> None:
    if there:
        (tmp_path / "2").write_bytes(b"an image")
    shard, ledger = ShardId(0, 0, 3), Ledger(client, "run")
    token = ledger.lease(None)
    ledger.open(token, shard, b"")
    missing = ItemRecord(error_code=ItemCode.NOT_FOUND, error="the worker finds no such file")
    ledger.commit(shard, ShardResult(shard, 1, "w", 1, (missing,) * 3, ShardResult.no_detections()).encode())
    journal = Journal(tmp_path / "journal")
    collector = Collector(ledger, token, journal, Tally(), lambda item: os.fsencode(tmp_path / str(item)))
    collector.ship_instead = lambda worker: True
    collected, again = collector.collect([shard])
    journal.close()
    assert (len(collected), len(again)) == ((0, 1) if there else (1, 0))


def forged(**change: object) -> bytes:
    detections = np.zeros(1, DETECTION_DTYPE)
    for name, value in change.items():
        detections[name] = value
    return ShardResult(ONE, 1, "w", 1, (ItemRecord(1, "a" * 64, 1, 1),), detections).encode()


@pytest.mark.parametrize(
    "fields",
    [
        {"result": b"", "committed": 1},
        {"result": forged(class_id=80), "committed": 1},
        {"result": forged(score=np.nan), "committed": 1},
        {"committed": 1},
        {"attempt": "x"},
        {"sent": "\x1b"},
        {"fate": "eaten"},
        {"fate": b"\xff"},
        {"by": "w@h\x1b[2J/1"},
        None,
    ],
    ids=str,
)
def test_a_shard_in_which_somebody_else_has_written_is_opened_anew(
    fields: dict[str, Any] | None, client: redis.Redis, tmp_path: Path
) -> None:
    ledger = Ledger(client, "run")
    token = ledger.lease(None)
    ledger.open(token, ONE, b"a.jpg")
    if fields is None:
        client.set(shard_key("run", ONE), "no hash")
    else:
        client.hset(shard_key("run", ONE), mapping=fields)
    journal = Journal(tmp_path / "journal")
    collector = Collector(ledger, token, journal, Tally(), lambda item: b"")
    collector.classes = 80
    [shard] = ledger.open_shards()
    assert shard.committed
    collected, again = collector.collect([ONE])
    journal.close()
    assert (collected, [one.shard for one in again]) == ([], [ONE])
    ledger.free(token, ONE)
    assert ledger.open(token, ONE, b"a.jpg")


def test_a_result_that_is_too_large_is_not_taken_into_memory(client: redis.Redis) -> None:
    ledger = Ledger(client, "run")
    client.hset(shard_key("run", ONE), "result", bytes(MAX_RESULT_BYTES + 1))
    client.hset(shard_key("run", TWO), "result", b"good")
    assert ledger.results([ONE, TWO, ShardId(0, 9, 1)]) == [b"", b"good", None]
    client.flushall()


@pytest.mark.parametrize(("there", "ships"), [(True, True), (True, False), (False, True)])
def test_one_image_that_a_worker_may_not_read_is_enough(
    there: bool, ships: bool, client: redis.Redis, tmp_path: Path
) -> None:
    """The others' files are not looked at: those were read."""
    if there:
        (tmp_path / "2").write_bytes(b"an image")
    shard, ledger = ShardId(0, 0, 3), Ledger(client, "run")
    token = ledger.lease(None)
    ledger.open(token, shard, b"")
    records = (ItemRecord(width=1, height=1), ItemRecord(width=1, height=1), ItemRecord(error_code=ItemCode.FORBIDDEN))
    ledger.commit(shard, ShardResult(shard, 1, "w", 1, records, ShardResult.no_detections()).encode())
    journal = Journal(tmp_path / "journal")
    collector = Collector(ledger, token, journal, Tally(), lambda item: os.fsencode(tmp_path / str(item)))
    collector.ship_instead = lambda worker: ships
    if there and not ships:
        with pytest.raises(ManyeyesError, match=r"worker w may not read .*/2; start it with `--root`"):
            collector.collect([shard])
    else:
        collected, again = collector.collect([shard])
        assert (len(collected), len(again)) == ((0, 1) if there else (1, 0))
    journal.close()
