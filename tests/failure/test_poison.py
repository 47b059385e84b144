"""Images that kill their process: found, named, and nobody else's end."""

from __future__ import annotations

import json
from pathlib import Path

from common.limits import MAX_DEATHS
from tests.acceptance.commands import only_run, producer
from tests.acceptance.workers import a_worker
from tests.failure import poison
from tests.failure.test_kills import nothing_left

#: What the poison does, and what its row says.
CODES = {"segfault": "crashed", "hang": "timeout", "allocate": "out_of_memory"}


def test_killing_images_are_named_and_all_others_are_done(tmp_path: Path) -> None:
    made = poison.make(tmp_path, 200, list(CODES))
    options = ["--detector", "poisonable", "--image-timeout", 3, "--json", "-c", 2]
    said = producer("submit", "photos", *options, cwd=tmp_path, MANYEYES_TEST_MARK=tmp_path.name, **made.environment)
    assert said.code == 3, said.err
    assert (said.json["ok"], said.json["errors"]) == (197, dict.fromkeys(CODES.values(), 1))
    failed = poison.failed(only_run(tmp_path))
    assert {path: code for path, (code, _) in failed.items()} == {p: CODES[kind] for p, kind in made.poison.items()}
    for path, (_, text) in failed.items():
        assert f"producer submit {tmp_path}/photos/{path} --detector poisonable --image-timeout 3" in text
    figures = json.loads((only_run(tmp_path) / "timings.json").read_text())
    # On a busy machine one that hangs may look like a slow one; its second attempt stands for one of these.
    assert set(figures["sent_again"]) <= {"died", "slow"}
    assert 6 <= figures["sent_again"]["died"] <= 12, "each at most once in company, and three times alone"
    nothing_left(tmp_path.name)


def test_an_image_that_hangs_costs_no_more_processes_for_second_attempts(tmp_path: Path, redis_url: str) -> None:
    """While a process hangs at the end of a run, it looks like a slow machine; an idle one hangs beside it."""
    made = poison.make(tmp_path, 40, ["hang"])
    command = ["worker", "start", "--detector", "poisonable", "-c", "3"]
    with a_worker(command, tmp_path, redis_url, 3, **made.environment):
        options = ["--detector", "poisonable", "--image-timeout", 8, "--json"]
        said = producer("submit", "photos", *options, cwd=tmp_path, MANYEYES_BROKER_URL=redis_url)
    assert said.code == 3 and said.json["errors"] == {"timeout": 1}, said.err
    figures = json.loads((only_run(tmp_path) / "timings.json").read_text())
    assert figures["sent_again"]["slow"] >= 1
    killed = (tmp_path / "worker.log").read_text().count("takes over 8 s: its process is killed")
    assert MAX_DEATHS <= killed <= MAX_DEATHS + 1, "as without: at most once in company, and three times alone"
