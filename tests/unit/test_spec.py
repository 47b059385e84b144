"""Tests that a spec keeps its digest when manyeyes gets options that it does not have."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

from common.protocol.spec import Spec


def test_a_spec_of_before_an_option_came_has_the_digest_that_it_had() -> None:
    spec = Spec(
        datasets=("/data",),
        root="/data",
        detector="hog",
        detector_digest="0",
        queue="hog-0",
        labels=("person",),
        conf=0.5,
        iou=0.5,
        floor=0.01,
    )
    before = spec.to_text()
    assert "exclude" not in json.loads(before)
    assert Spec.from_text(before).digest == hashlib.sha256(before.encode()).hexdigest()

    later = replace(spec, exclude=("*.png", "thumbs/"))
    assert Spec.from_text(later.to_text()) == later
    assert later.digest != spec.digest
