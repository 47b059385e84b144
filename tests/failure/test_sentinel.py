"""A master that is killed under a run: Sentinels promote its replica, and nobody has to do anything."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from common.broker import connect, sibling, unhurried
from common.presence import live_processes
from tests.acceptance.commands import finish, producer, start
from tests.acceptance.workers import a_worker, live
from tests.sentinels import PASSWORD, SENTINELS_PASSWORD, sentinels
from tests.waiting import wait_until

IMAGES = 60
#: What must be the same bytes whatever happened on the way.
TABLES = ("images.parquet", "detections.parquet")


def photos(folder: Path) -> None:
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(IMAGES):
        image = cv2.resize(random.integers(0, 256, (60, 80, 3), np.uint8), (640, 480))
        (folder / f"{number:03d}.jpg").write_bytes(cv2.imencode(".jpg", image)[1].tobytes())


def results(output: Path) -> bool:
    return any(path.stat().st_size for path in output.glob("*/journal.bin"))


@pytest.mark.timeout(150)
def test_a_run_goes_on_at_the_master_that_sentinels_promote(tmp_path: Path) -> None:
    photos(tmp_path / "photos")
    submit = ("submit", "photos", "--json", "--output")
    with sentinels(tmp_path) as watched:
        url = watched.url
        (tmp_path / "url").write_text(url)
        celery = ["celery", "-A", "worker.app", "worker", "-c", "1", "--without-mingle", "--without-gossip"]
        (tmp_path / "plain").mkdir()
        joined = ["worker", "start", "-c", "1", "--join", "url"]
        with (
            a_worker(joined, tmp_path, url, MANYEYES_BROKER_URL="") as joiner,
            a_worker(celery, tmp_path / "plain", url, 2, MANYEYES_ROOTS=str(tmp_path)) as plain,
            connect(url) as client,
        ):
            processes = {(beat.worker, beat.pid) for beat in live_processes(client)}
            quiet = producer(*submit, "quiet", cwd=tmp_path, MANYEYES_BROKER_URL=url)
            run = start("producer", *submit, "failed-over", cwd=tmp_path, MANYEYES_BROKER_URL=url)
            wait_until(lambda: results(tmp_path / "failed-over"), what="the run's first result")
            lost = watched.master
            watched.servers[lost].kill()
            # The one that the URL names first, too.
            next(iter(watched.sentinels.values())).kill()
            said = finish(run)
            assert (quiet.code, said.code) == (0, 0), quiet.err + said.err
            for table in TABLES:
                whole, again = (tmp_path / Path(one.json["run_dir"]) / table for one in (quiet, said))
                assert whole.read_bytes() == again.read_bytes()
            assert "the broker does not do its work" in said.err, "it was in the run's middle"
            assert joiner.poll() is None and plain.poll() is None
            wait_until(lambda: {(beat.worker, beat.pid) for beat in live_processes(client)} == processes)
            found = producer("doctor", "--json", cwd=tmp_path, MANYEYES_BROKER_URL=url)
            print(found.out)
    words = "".join(path.read_text() for path in tmp_path.rglob("worker.log")) + said.err + quiet.err + found.out
    assert not [word for word in (PASSWORD, SENTINELS_PASSWORD) if f":{word}@" in words or f"={word}" in words]
