"""What an owner takes into memory at a time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import redis

from common.errors import ItemCode, ManyeyesError
from common.ledger import Ledger
from common.messages import ItemRecord, ShardId, ShardResult
from producer.collect import BATCH_ITEMS, Collector, Tally, batches
from producer.journal import Journal


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
