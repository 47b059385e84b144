"""Three hosts without a disk in common, over slow wires, one of them cut off: the tables are those of one machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from benchmarks.hosts import cluster, rights
from benchmarks.hosts.cluster import Hub
from benchmarks.hosts.lab import Host, Lab, Running
from chaos import pictures
from chaos.receipt import compare
from common.errors import ManyeyesError
from producer.rundir.journal import JournalAsItIs
from producer.rundir.run_directory import RunDir, find
from tests.acceptance.commands import environment, marked
from tests.waiting import wait_until

IMAGES = 600

_refusal = rights.why_not()
pytestmark = pytest.mark.skipif(_refusal is not None, reason=str(_refusal))


@dataclass(frozen=True)
class Stage:
    """A hub on `head`, a worker of one process each on `one` and `two`, the photos on `head` only."""

    lab: Lab
    hub: Hub
    #: The run of a single machine over the same photos.
    alone: RunDir

    def submit(self, host: Host, name: str) -> Running:
        return self.hub.submit(host, "photos", "--output", name)

    def pace(self, seconds: float) -> None:
        cluster.pace((self.lab["one"], self.lab["two"]), seconds)

    def slow(self, round_trip_s: float) -> None:
        """Both workers' wires; what was asked for is there."""
        for name in ("one", "two"):
            self.lab.delay(name, round_trip_s)
            assert round_trip_s <= self.lab[name].round_trip(self.hub.host) < 1.5 * round_trip_s + 0.001


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Lab(tmp_path_factory.mktemp("lab"), ["head", "one", "two"]) as lab:
        head = lab["head"]
        cluster.equip(lab)
        # The first shards are cut by the speed that workers find at their start.
        cluster.pace((lab["one"], lab["two"]), 0.02)
        hub = Hub.up(head, head.address)
        workers = [hub.join(lab[name]) for name in ("one", "two")]
        pictures.make(head.folder / "photos", IMAGES, 1, [])
        head.run("producer", "submit", "photos", "--detector", "poisonable", "--output", "alone")
        hub.await_processes(2)
        yield Stage(lab, hub, find(head.folder / "alone", "latest"))
        assert [worker.poll() for worker in workers] == [None, None], "no worker has ended"


def ended_well(run: Running, output: Path, alone: RunDir) -> RunDir:
    """It found out by itself that workers do not see the photos, and its tables are those of one machine."""
    assert run.wait() == 0, run.err.read_text()
    assert "they go through Redis" in run.err.read_text()
    found = find(output, "latest")
    assert json.loads(run.out.read_text())["ok"] == IMAGES
    receipt = compare(alone, found)
    assert receipt.clean, receipt
    return found


def images_by_host(run: RunDir, since: float = 0.0) -> dict[str, int]:
    """Images whose turn came after that instant, by the host that looked at them."""
    rows = pq.read_table(run.path / "timings.parquet", columns=["worker", "started"]).to_pylist()
    hosts = [row["worker"].split("@")[1] for row in rows if row["started"].timestamp() > since]
    return {host: hosts.count(host) for host in set(hosts)}


def test_hosts_share_a_network_and_no_disk(stage: Stage) -> None:
    one = stage.lab["one"]
    assert one.run("hostname").strip() == "one"
    assert one.run("ls", "..").split() == ["one"]
    with pytest.raises(ManyeyesError, match="No such file"):
        one.run("ls", stage.hub.host.folder / "photos")


def test_images_come_over_the_network(stage: Stage) -> None:
    stage.slow(0.002)
    stage.pace(0.01)
    run = ended_well(stage.submit(stage.hub.host, "near"), stage.hub.host.folder / "near", stage.alone)
    done = images_by_host(run)
    assert done.keys() == {"one", "two"} and min(done.values()) > IMAGES / 10


def test_any_host_may_submit_what_only_it_has(stage: Stage) -> None:
    two = stage.lab["two"]
    pictures.make(two.folder / "photos", IMAGES, 1, [])
    stage.pace(0.01)
    run = ended_well(stage.submit(two, "own"), two.folder / "own", stage.alone)
    assert images_by_host(run).keys() == {"one", "two"}


def test_a_host_that_is_cut_off_costs_nothing_and_comes_back(stage: Stage) -> None:
    """Given a run over two hosts, 20 ms away, when one is cut off at a shard, the other does it; then both go on."""
    head, _, two = stage.lab.hosts
    stage.slow(0.02)
    stage.pace(0.1)
    running = stage.submit(head, "cut")

    def progress() -> dict[str, Any]:
        assert running.poll() is None, running.err.read_text()
        found = list(head.folder.glob("cut/*/progress.json"))
        return json.loads(found[0].read_text()) if found else {"stored": 0, "workers": 0, "sent_again": 0}

    def at_work() -> dict[str, Any] | None:
        """What is at hand on the host that will be cut off, if it is in the middle of a shard."""
        [at] = [at for worker in stage.hub.workers() if worker["host"] == "two" for at in worker["at"]] or [None]
        return at if at and at["done"] + 2 < at["images"] else None

    wait_until(lambda: progress()["stored"] > 20 and progress()["workers"] == 2, what="the flow of both")
    cluster.pace([two], 3.0)
    held = wait_until(at_work, what="a shard in its middle")
    stage.lab.cut("two")
    cluster.pace([two], 0)
    wait_until(lambda: progress()["workers"] == 1 and progress()["sent_again"], what="the loss to be seen")
    [journal] = head.folder.glob("cut/*/journal.bin")
    others = lambda: {str(done.shard) for done in JournalAsItIs(journal).results() if done.worker.endswith("@one")}  # noqa: E731
    wait_until(lambda: held["shard"] in others(), what="its shard, done by the other")
    # So that there is work left when it is back.
    stage.pace(0.25)
    stage.lab.delay("two", 0.02)
    wait_until(lambda: progress()["workers"] == 2, what="its heartbeats")
    returned = time.time()

    def works() -> bool:
        """At something new: its old shard was through before."""
        [worker] = [worker for worker in stage.hub.workers() if worker["host"] == "two"]
        return bool(worker["at"]) and worker["last_image_s"] < time.time() - returned

    wait_until(works, what="work for it")
    stage.pace(0)
    run = ended_well(running, head.folder / "cut", stage.alone)
    assert images_by_host(run, since=returned).get("two", 0) > 0


def test_nothing_of_a_lab_outlives_a_kill_of_its_maker(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from benchmarks.hosts.lab import Lab\n"
        f"with Lab(Path({str(tmp_path)!r}), ['one', 'two']) as lab:\n"
        "    lab['one'].start('sleep', 1000); print('up', flush=True); sys.stdin.read()"
    )
    mark = os.urandom(8).hex()
    maker = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        env=environment(MANYEYES_TEST_MARK=mark),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with maker:
        assert maker.stdout is not None and maker.stdout.readline() == "up\n"
        wait_until(lambda: {"sleep", "unshare"} <= {one.name() for one in marked(mark)}, what="the host's command")
        maker.send_signal(signal.SIGKILL)
    wait_until(lambda: not marked(mark), what="the end of every process of the lab")
    assert str(tmp_path) not in Path("/proc/mounts").read_text()
