"""What an owner takes into memory at a time."""

from __future__ import annotations

from common.messages import ShardId
from producer.collect import BATCH_ITEMS, batches


def test_many_shards_at_once_are_taken_in_bounded_batches() -> None:
    sizes = [BATCH_ITEMS // 4] * 9 + [1, 4 * BATCH_ITEMS, 1]
    ids = [ShardId(0, sum(sizes[:n]), size) for n, size in enumerate(sizes)]
    found = list(batches(ids))
    assert [shard for batch in found for shard in batch] == ids
    # One that is larger than that comes alone.
    assert [len(batch) for batch in found] == [4, 4, 2, 1, 1]
    assert list(batches([])) == []
