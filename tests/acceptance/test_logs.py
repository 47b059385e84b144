"""What a worker and an owner write while a process dies, read as a log collector reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.acceptance.commands import finish, only_run, producer, start
from tests.acceptance.workers import a_worker
from tests.failure import poison


def parsed(text: str) -> list[dict[str, Any]]:
    """Every line, to the last, is an object."""
    return [json.loads(line) for line in text.splitlines()]


def test_every_line_is_json_and_names_its_shard(tmp_path: Path, redis_url: str) -> None:
    """Celery's own command, and all that it, its pool, the warden and the owner say."""
    made = poison.make(tmp_path, 30, ["segfault"])
    environment = {**made.environment, "MANYEYES_DETECTOR": "poisonable", "MANYEYES_LOG": "json"}
    command = ["celery", "-A", "worker.app", "worker", "-c", "2", "--loglevel", "INFO"]
    with a_worker(command, tmp_path, redis_url, 2, **environment):
        options = ["--detector", "poisonable", "--log", "json", "--json"]
        said = producer("submit", "photos", *options, cwd=tmp_path, MANYEYES_BROKER_URL=redis_url)
    assert said.code == 3 and said.json["failed"] == 1, said.err
    worker, owner, run = parsed((tmp_path / "worker.log").read_text()), parsed(said.err), only_run(tmp_path).name

    about_shards = [line for line in worker if "shard" in line]
    assert all({"run", "shard", "attempt", "worker", "process", "host"} <= line.keys() for line in about_shards)
    messages = {line["message"] for line in about_shards}
    assert "received" in messages and any(text.startswith("committed") for text in messages)
    [death, *_] = [line for line in about_shards if "has died at item" in line["message"]]
    [lost, *_] = [line for line in about_shards if "its process is lost" in line["message"]]
    assert (death["run"], death["shard"], death["attempt"]) == (run, lost["shard"], lost["attempt"])
    assert death["message"].startswith(f"process {death['process']} has died at item ")
    assert any(line["message"].startswith("serves poisonable-") for line in worker)

    assert all(line["run"] == run for line in owner)
    assert any("is given up" in line["message"] and line["shard"].endswith("+1") for line in owner)
    assert any("30/30 images" in line["message"] for line in owner)


def test_a_command_that_fails_says_so_in_json(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    (tmp_path / "photo.jpg").write_bytes(b"no photo")
    [local] = parsed(producer("submit", ".", "--detector", "bad.onnx", "--log", "json", cwd=tmp_path).err)
    assert local["message"].startswith("error: local worker: ") and "bad.onnx" in local["message"]
    worker = finish(start("worker", "start", "--log", "json", cwd=tmp_path))
    [said] = parsed(worker.err + worker.out)
    assert worker.code == 2 and said["level"] == "ERROR" and "MANYEYES_BROKER_URL" in said["message"]
