"""Images that kill their process: found, named, and nobody else's end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.acceptance.commands import only_run, producer
from tests.failure import poison
from tests.failure.test_kills import nothing_left

#: What the poison does, and what its row says.
CODES = {"segfault": "crashed", "hang": "timeout", "allocate": "out_of_memory"}


@pytest.mark.parametrize("kind", CODES)
def test_a_killing_image_is_named_and_all_others_are_done(kind: str, tmp_path: Path) -> None:
    made = poison.make(tmp_path, 200, [kind])
    options = ["--detector", "poisonable", "--image-timeout", 3, "--json", "-c", 2]
    said = producer("submit", "photos", *options, cwd=tmp_path, MANYEYES_TEST_MARK=tmp_path.name, **made.environment)
    assert said.code == 3, said.err
    assert (said.json["ok"], said.json["errors"]) == (199, {CODES[kind]: 1})
    [(path, (code, text))] = poison.failed(only_run(tmp_path)).items()
    assert (path, code) == (*made.poison, CODES[kind])
    assert f"producer submit {tmp_path}/photos/{path} --detector poisonable" in text
    figures = json.loads((only_run(tmp_path) / "timings.json").read_text())
    assert figures["sent_again"] == {"died": 4}, "once in company, three times alone"
    nothing_left(tmp_path.name)
