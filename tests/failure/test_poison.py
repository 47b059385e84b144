"""Images that kill their process: found, named, and nobody else's end."""

from __future__ import annotations

import json
from pathlib import Path

from tests.acceptance.commands import only_run, producer
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
    assert set(figures["sent_again"]) == {"died"}
    assert 9 <= figures["sent_again"]["died"] <= 12, "each at most once in company, and three times alone"
    nothing_left(tmp_path.name)
