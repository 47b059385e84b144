"""The journal: what was appended is there, once, also after a crash in the middle of an append."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.protocol.messages import ItemRecord, ShardId, ShardResult
from producer.rundir.journal import Journal, JournalAsItIs, frames


def result(first: int, count: int, attempt: int = 1) -> ShardResult:
    records = tuple(ItemRecord(bytes=first + row) for row in range(count))
    return ShardResult(ShardId(0, first, count), attempt, "w", 1, records, ShardResult.no_detections())


def append(journal: Journal, *results: ShardResult) -> None:
    journal.append(results, [one.encode() for one in results])


def test_results_come_back_in_item_order(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    append(journal, result(10, 5), result(0, 4))
    append(journal, result(4, 6))
    journal.close()
    again = Journal(tmp_path / "j")
    assert [one.shard.first for one in again.results()] == [0, 4, 10]
    assert again.done.count == 15
    assert again.done.next_gap(0, 20) == (15, 20)


def test_a_shard_that_is_there_is_not_written_twice(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    append(journal, result(0, 4))
    append(journal, result(0, 4, attempt=2), result(4, 4))
    assert [one.attempt for one in journal.results()] == [1, 1]


@pytest.mark.parametrize("lost", [1, 10, 60])
def test_a_torn_tail_is_cut_off(tmp_path: Path, lost: int) -> None:
    path = tmp_path / "j"
    journal = Journal(path)
    append(journal, result(0, 4), result(4, 4))
    journal.close()
    path.write_bytes(path.read_bytes()[:-lost])
    again = Journal(path)
    assert again.done.count == 4
    append(again, result(4, 4), result(8, 1))
    again.close()
    assert [one.shard.first for one in Journal(path).results()] == [0, 4, 8]


def test_a_flipped_bit_in_the_tail_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "j"
    journal = Journal(path)
    append(journal, result(0, 4), result(4, 4))
    journal.close()
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    assert Journal(path).done.count == 4


@pytest.mark.parametrize("bit", [0, 6, 45])
def test_damage_costs_its_own_results_and_no_others(tmp_path: Path, bit: int) -> None:
    path = tmp_path / "j"
    journal = Journal(path)
    append(journal, result(0, 4), result(4, 4), result(8, 4))
    journal.close()
    data = bytearray(path.read_bytes())
    data[len(data) // 3 + bit] ^= 1
    path.write_bytes(data)
    assert JournalAsItIs(path).unreadable == len(data) // 3
    assert path.read_bytes() == data, "who only reads changes nothing"
    again = Journal(path)
    assert (again.done.count, again.done.next_gap(0, 12)) == (8, (4, 8))
    append(again, result(4, 4, attempt=2), result(12, 1))
    again.close()
    assert [(one.shard.first, one.attempt) for one in Journal(path).results()] == [(0, 1), (4, 2), (8, 1), (12, 1)]
    assert JournalAsItIs(path).unreadable == 0


def test_a_long_journal_is_not_held_in_memory(tmp_path: Path) -> None:
    status = Path("/proc/self/status")
    if "RssFile:" not in (status.read_text() if status.exists() else ""):
        pytest.skip("the system does not say how much of a mapped file is in memory")
    journal, body = Journal(tmp_path / "j"), bytes(8 << 20)
    for first in range(12):
        journal.append([result(first, 1)], [body])
    journal.close()
    resident = []
    for _ in frames(tmp_path / "j"):
        resident.append(int(status.read_text().partition("RssFile:")[2].split()[0]))
    assert len(resident) == 12 and max(resident) - resident[0] < 48 << 10  # KiB; the journal has 96 MiB
