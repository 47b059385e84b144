"""A short storm over a real run: nothing is lost, the tables are the quiet run's, and nothing stays behind."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chaos.receipt import compare
from producer.rundir.run_directory import RunDir, find
from tests.acceptance.commands import Said, finish, marked, start
from tests.waiting import wait_until

CHECKOUT = Path(__file__).resolve().parents[2]
#: None of them makes the broker forget the attempts. Of this seed, the password comes second.
KINDS = {
    *("drop queued message", "cut connections", "restart broker", "rotated password"),
    *("kill process", "kill worker", "kill producer"),
}
OPTIONS = ("--seconds", 9, "--every", 1.5, "--seed", 2147, "--no-poison", "--json")


@pytest.fixture(scope="module")
def storm(tmp_path_factory: pytest.TempPathFactory) -> tuple[Said, Path]:
    """What a storm said, and the folder with its runs."""
    folder = tmp_path_factory.mktemp("storm") / "kept"
    chosen = [word for kind in sorted(KINDS) for word in ("--only", kind)]
    options = (*OPTIONS, *chosen, "--folder", folder)
    return finish(start("python", "-m", "chaos", *options, cwd=CHECKOUT, MANYEYES_TEST_MARK=str(folder))), folder


def test_a_storm_changes_no_byte(storm: tuple[Said, Path]) -> None:
    said, folder = storm
    assert said.code == 0, said.err + said.out
    report, receipt = said.json, said.json["receipt"]
    counts = {kind["kind"]: kind["count"] for kind in report["kinds"]}
    assert "rotated password" in counts and len(counts) >= 4 and counts.keys() <= KINDS
    assert set(counts.values()) == {1}, "a kind came twice"
    assert (receipt["lost"], receipt["doubled"], receipt["rows_different"]) == (0, 0, 0)
    assert receipt["images"] > 0 and receipt["files_different"] == []
    assert receipt["verify"] in (None, "agrees")
    wait_until(lambda: not marked(str(folder)), what="the end of everything that the storm started")


def test_what_is_lost_doubled_or_different_is_counted(storm: tuple[Said, Path], tmp_path: Path) -> None:
    _, folder = storm
    quiet = find(folder / "quiet", "latest")
    damaged = RunDir(tmp_path / quiet.run)
    shutil.copytree(quiet.path, damaged.path)
    assert compare(quiet, damaged).clean
    rows = pq.read_table(quiet.path / "images.parquet")
    pq.write_table(
        pa.concat_tables([rows.slice(0, 2), rows.slice(1, 1), rows.slice(4)]), damaged.path / "images.parquet"
    )
    found = compare(quiet, damaged)
    assert (found.lost, found.doubled, found.clean) == (2, 1, False)
    assert found.rows_different > 0 and found.files_different == ("images.parquet",)
    (damaged.path / "images.parquet").unlink()
    assert compare(quiet, damaged).lost == len(rows)


def test_a_kind_that_there_is_not_is_refused() -> None:
    said = finish(start("python", "-m", "chaos", "--only", "rain", cwd=CHECKOUT))
    assert said.code == 2 and said.err.startswith('error: --only "rain" is no kind of fault; there are: ')
    assert "hang for 20 s" in said.err and said.err.count("\n") == 1
