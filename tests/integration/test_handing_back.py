"""A shard that takes long: its beginning is committed, the rest handed back and sent before all that waits."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis
from kombu import Queue

from common.broker.connect import celery_app
from common.protocol.ledger import Fate, Ledger, RunState
from common.protocol.messages import ItemRecord, ShardId, ShardMessage, ShardResult, task_queue
from producer.relay.carriage import Carriage
from producer.relay.transport import Transport, Way
from producer.rundir.journal import Journal
from producer.rundir.manifest import Manifest
from producer.scheduler.collect import Collected, Collector, Tally
from producer.scheduler.dispatch import Dispatcher, Target
from tests.integration.test_owning import QUEUE, RUN, SPEC

ITEMS, SIZE = 40, 10
WHOLE = ShardId(0, 0, SIZE)


class Bench:
    """The parts of an owner on a real broker, with four shards sent; the test is the worker."""

    def __init__(self, redis_url: str, client: redis.Redis, folder: Path, shard_size: int | None = SIZE) -> None:
        self.ledger = Ledger(client, RUN)
        self.ledger.reserve({"spec": SPEC.to_text(), "spec_digest": SPEC.digest})
        self.ledger.set_state(RunState.RUNNING)
        self.folder, self.app, self.token = folder, celery_app(redis_url), self.ledger.lease(None)
        self.manifest = Manifest(folder / "manifest")
        self.manifest.append_all(b"%03d.jpg" % number for number in range(ITEMS))
        self.journal = Journal(folder / "j")
        self.dispatcher = self.new_dispatcher(shard_size)
        self.dispatcher.fill(1 if shard_size is None else 8)
        self.collector = Collector(self.ledger, self.token, self.journal, Tally(), lambda item: b"/photos")

    def new_dispatcher(self, shard_size: int | None = SIZE) -> Dispatcher:
        target = Target(self.app, self.ledger, self.token, SPEC, "--detector hog")
        carriage = Carriage(self.ledger, b"/", Transport(), Way.PATH)
        return Dispatcher(target, self.manifest, self.journal, carriage, 0.001, shard_size)

    def messages(self) -> list[str]:
        """Shards of all that waits in the queue, in the order in which kombu hands them out. It is empty then."""
        found = []
        with self.app.connection_for_read() as connection:
            channel = connection.default_channel
            Queue(task_queue(QUEUE), channel=channel).declare()
            while (message := channel.basic_get(task_queue(QUEUE), no_ack=True)) is not None:
                found.append(str(message.payload[1]["shard"]))
        return found

    def claim(self, shard: ShardId, process: str = "w/1", attempt: int = 1) -> ShardMessage:
        message = ShardMessage(RUN, shard, attempt, SPEC.digest)
        claim = self.ledger.claim(message, process)
        assert claim.status == "ok"
        first, end = shard.first, shard.first + shard.count
        assert claim.items == b"\0".join(b"%03d.jpg" % number for number in range(first, end))
        return message

    def hand_back(self, message: ShardMessage, done: int, process: str = "w/1") -> str:
        return self.ledger.commit_beginning(message, process, result(message.shard.beginning(done)))

    def collect(self) -> list[Collected]:
        collected, unreadable = self.collector.collect(self.ledger.wait_committed(1.0))
        assert not unreadable
        return collected

    def open(self) -> list[str]:
        return [str(one.shard) for one in self.ledger.open_shards()]


def result(shard: ShardId) -> bytes:
    records = tuple(ItemRecord(bytes=shard.first + row) for row in range(shard.count))
    return ShardResult(shard, 1, "w", 1, records, ShardResult.no_detections(), busy_s=shard.count * 3.0).encode()


@pytest.fixture
def bench(redis_url: str, client: redis.Redis, tmp_path: Path) -> Bench:
    return Bench(redis_url, client, tmp_path)


def test_the_rest_is_sent_before_what_waits_and_nothing_is_done_twice(bench: Bench) -> None:
    first = bench.claim(WHOLE)
    assert bench.hand_back(first, 3) == "ok"
    [done] = bench.collect()
    assert done.rest == ShardId(0, 3, 7) and bench.journal.done.count == 3
    bench.dispatcher.hand_on(WHOLE, done.rest)
    assert bench.open() == ["0:3+7", "0:10+10", "0:20+10", "0:30+10"]
    assert bench.messages() == ["0:3+7", "0:0+10", "0:10+10", "0:20+10", "0:30+10"]
    assert bench.dispatcher.in_flight.keys() == {shard.shard for shard in bench.ledger.open_shards()}
    assert bench.ledger.look([done.rest])[0].ahead
    for shard in (done.rest, *(ShardId(0, at, 10) for at in (10, 20, 30))):
        bench.claim(shard)
        assert bench.ledger.commit(shard, result(shard)) == "ok"
    assert len(bench.collect()) == 4 and bench.open() == []
    assert [record.bytes for found in bench.journal.results() for record in found.records] == list(range(ITEMS))


def test_a_later_attempt_overtakes_what_waits_too(bench: Bench) -> None:
    [*_, last] = bench.ledger.open_shards()
    sent = bench.ledger.resend(bench.token, last, "lost")
    assert sent is not None
    bench.dispatcher.send(last.shard, sent[0])
    assert bench.messages() == ["0:30+10", "0:0+10", "0:10+10", "0:20+10", "0:30+10"]
    assert bench.ledger.look([last.shard])[0].ahead


def test_the_parts_of_a_shard_that_cost_a_process_overtake_too(bench: Bench) -> None:
    last = ShardId(0, 30, 10)
    assert bench.dispatcher.split(last, last.around(35))
    assert bench.messages()[:3] == ["0:30+5", "0:35+1", "0:36+4"]


def test_only_the_first_commit_counts_be_it_a_part_or_the_whole(bench: Bench) -> None:
    message = bench.claim(WHOLE)
    assert bench.hand_back(message, 3, process="w/2") == "stale", "another process has it"
    [seen, *_] = bench.ledger.open_shards()
    assert bench.ledger.resend(bench.token, seen, "slow") == (2, 1)
    assert bench.hand_back(message, 3) == "stale", "there is a second attempt, which may do it all"
    second = bench.claim(WHOLE, "w/2", attempt=2)
    assert bench.hand_back(second, 4, "w/2") == "ok"
    assert bench.hand_back(second, 5, "w/2") == "committed", "the answer to the first was lost"
    assert bench.ledger.commit(WHOLE, result(WHOLE)) == "committed", "the slow one comes too late"
    [done] = bench.collect()
    assert done.result.shard == ShardId(0, 0, 4)
    bench.dispatcher.hand_on(WHOLE, ShardId(0, 4, 6))
    assert bench.ledger.commit(WHOLE, result(WHOLE)) == "closed"
    assert bench.hand_back(second, 5, "w/2") == "closed"


def test_a_rest_that_was_sized_for_faster_images_goes_on_in_pieces(
    redis_url: str, client: redis.Redis, tmp_path: Path
) -> None:
    bench = Bench(redis_url, client, tmp_path, shard_size=None)
    [whole, *_] = [one.shard for one in bench.ledger.open_shards()]
    bench.hand_back(bench.claim(whole), 2)
    [done] = bench.collect()
    assert done.rest is not None
    # 3 s an image: two at most are a shard.
    bench.dispatcher.collected(done.result.shard, done.result.busy_s / len(done.result.records))
    bench.messages()
    bench.dispatcher.hand_on(whole, done.rest)
    pieces = bench.messages()
    assert pieces == [f"0:{item}+1" for item in range(2, whole.count)]
    assert bench.open()[: len(pieces)] == pieces


def test_a_beginning_that_is_on_disk_is_not_done_again_whatever_the_broker_loses(bench: Bench) -> None:
    bench.hand_back(bench.claim(WHOLE), 3)
    bench.collect()
    bench.ledger.client.delete(f"manyeyes:open:{RUN}", f"manyeyes:shard:{RUN}:{WHOLE}")
    assert not bench.dispatcher.split(WHOLE, [ShardId(0, 3, 7)], begun=True)
    # What the owner does of a shard that is in flight and not in the broker.
    bench.dispatcher.open_again(WHOLE)
    assert bench.open() == ["0:3+7"]
    assert WHOLE not in bench.dispatcher.in_flight and ShardId(0, 3, 7) in bench.dispatcher.in_flight


def test_a_new_owner_goes_on_behind_a_beginning_that_the_old_one_wrote(bench: Bench) -> None:
    bench.hand_back(bench.claim(WHOLE), 3)
    bench.collect()  # and the old owner dies here
    dispatcher = bench.new_dispatcher()
    for shard in bench.ledger.open_shards():
        dispatcher.adopt(shard.shard)
    assert bench.open() == ["0:10+10", "0:20+10", "0:30+10"]
    dispatcher.fill(8)
    assert bench.open() == ["0:3+7", "0:10+10", "0:20+10", "0:30+10"]


def test_a_new_owner_collects_a_beginning_that_nobody_has_collected(bench: Bench) -> None:
    bench.hand_back(bench.claim(WHOLE), 3)
    [done] = bench.collector.collect([WHOLE])[0]
    [again] = bench.collector.collect([WHOLE])[0]
    assert done.rest == again.rest == ShardId(0, 3, 7) and bench.journal.done.count == 3


@pytest.mark.parametrize("stored", [ShardId(0, 1, 3), ShardId(0, 0, 11), ShardId(1, 0, 3), ShardId(0, 10, 10)])
def test_a_result_that_is_no_beginning_of_its_shard_is_of_no_use(bench: Bench, stored: ShardId) -> None:
    bench.claim(WHOLE)
    bench.ledger.commit(WHOLE, result(stored))
    collected, [unreadable] = bench.collector.collect([WHOLE])
    assert not collected and unreadable.shard == WHOLE and bench.journal.done.count == 0


def test_what_slow_processes_died_of_is_held_against_the_piece_that_it_is_in(bench: Bench) -> None:
    message = bench.claim(WHOLE)
    [seen, *_] = bench.ledger.open_shards()
    bench.ledger.resend(bench.token, seen, "slow")
    second = bench.claim(WHOLE, "w/2", attempt=2)
    assert bench.ledger.report(WHOLE, message.attempt, "w/1", Fate.CRASHED, item=7)
    assert bench.hand_back(second, 2, "w/2") == "ok"
    bench.collect()
    pieces = [ShardId(0, 2, 3), ShardId(0, 5, 3), ShardId(0, 8, 2)]
    assert bench.dispatcher.split(WHOLE, pieces, begun=True)
    assert [one.deaths for one in bench.ledger.look(pieces)] == [0, 1, 0]
    alone = ShardId(0, 7, 1)
    assert bench.dispatcher.split(pieces[1], pieces[1].around(7))
    assert bench.ledger.look([alone])[0].deaths == 1


def test_nothing_is_split_off_what_is_not_begun_nor_by_an_owner_that_was_succeeded(bench: Bench) -> None:
    rest = [ShardId(0, 3, 7)]
    assert not bench.dispatcher.split(WHOLE, rest, begun=True), "nothing of it is committed"
    bench.hand_back(bench.claim(WHOLE), 3)
    assert not bench.dispatcher.split(WHOLE, list(WHOLE.halves())), "it is committed"
    assert bench.dispatcher.split(WHOLE, rest, begun=True)
