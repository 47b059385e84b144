"""A real worker, and what others write into its broker: it reads below its roots, loads no model, unpickles nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import redis

from common.broker.connect import celery_app
from common.errors import ItemCode
from common.protocol.ledger import Ledger, RunState
from common.protocol.messages import DETECT_TASK, ItemRecord, ShardId, ShardMessage, ShardResult, pack_items, task_queue
from common.protocol.spec import Spec
from tests.acceptance.commands import only_run, producer
from tests.acceptance.workers import a_worker
from tests.unit import pictures
from tests.waiting import wait_until

WORKER = ["worker", "start", "--detector", "cascade", "-c", "1"]
SHARD = ShardId(0, 0, 1)

#: In each process of the worker: who unpickles something that names code, and who opens what has `evil` in its name.
WATCH = """
import os, sys
log = os.open({log!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
def hook(event, args):
    if event == "pickle.find_class":
        os.write(log, f"unpickles {{sys._getframe(1).f_globals['__name__']}}\\n".encode())
    elif event == "open" and "evil" in os.fsdecode(args[0] if isinstance(args[0], (str, bytes)) else ""):
        os.write(log, f"opens {{args[0]}}\\n".encode())
sys.addaudithook(hook)
"""


class Forger:
    """Somebody who has the broker's password, and a run's spec to change."""

    def __init__(self, client: redis.Redis, url: str, run: str) -> None:
        text = client.hget(f"manyeyes:run:{run}", "spec")
        assert isinstance(text, bytes)
        self.spec = Spec.from_text(text.decode())
        self._client, self._app, self._run, self._forged = client, celery_app(url), run, 0

    def send(self, spec: Spec, path: bytes) -> Ledger:
        self._forged += 1
        ledger = Ledger(self._client, f"{self._run[:-8]}{'a' * 7}{'abcdef'[self._forged]}")
        ledger.restore({"spec": spec.to_text(), "spec_digest": spec.digest, "cargo": ""})
        ledger.set_state(RunState.RUNNING)
        ledger.open(ledger.lease(None), SHARD, pack_items([path]))
        message = ShardMessage(ledger.run, SHARD, 1, spec.digest)
        self._app.send_task(DETECT_TASK, kwargs=message.to_kwargs(), queue=task_queue(self.spec.queue))
        return ledger

    def result(self, spec: Spec, path: bytes) -> ItemRecord:
        ledger = self.send(spec, path)
        wait_until(lambda: ledger.results([SHARD]) != [None], what="the forged shard's result")
        [payload] = ledger.results([SHARD])
        assert payload is not None
        return ShardResult.decode(payload).records[0]


def test_what_is_forged_reads_and_loads_nothing(tmp_path: Path, redis_url: str, client: redis.Redis) -> None:
    log, photos = tmp_path / "audit", tmp_path / "photos"
    for folder in ("site", "photos", "outside"):
        (tmp_path / folder).mkdir()
    (tmp_path / "site/sitecustomize.py").write_text(WATCH.format(log=str(log)))
    for name in ("photos/a.jpg", "outside/b.jpg"):
        (tmp_path / name).write_bytes(pictures.jpeg())
    (tmp_path / "outside/evil.onnx").write_bytes(b"no model")
    with a_worker(WORKER, tmp_path, redis_url, MANYEYES_ROOTS=str(photos), PYTHONPATH=str(tmp_path / "site")):
        said = producer("submit", "photos", "--detector", "cascade", cwd=tmp_path, MANYEYES_BROKER_URL=redis_url)
        assert said.code == 0, said.err
        forger = Forger(client, redis_url, only_run(tmp_path).name)
        outside = replace(forger.spec, root=str(tmp_path))
        assert forger.result(outside, b"photos/a.jpg").ok, "as the roots have it, whoever asks"
        record = forger.result(outside, b"outside/b.jpg")
        assert (record.error_code, record.bytes, record.content_sha256) == (ItemCode.FORBIDDEN, None, None)
        forger.send(outside, b"photos/../outside/b.jpg")
        wait_until(lambda: "a path that leads out of its root" in words(tmp_path), what="the refusal")
        model = f"{tmp_path}/outside/evil.onnx"
        forger.send(replace(outside, detector=model, detector_digest="0" * 64, queue="evil-00000000"), b"photos/a.jpg")
        wait_until(lambda: "this worker does not serve evil-00000000" in words(tmp_path), what="the refusal")
    seen = set(log.read_text().splitlines())
    # Between the parent and its own pool processes, billiard's pipes, with Celery's errors in them; nothing that came
    # from outside.
    own = {"unpickles billiard", "unpickles multiprocessing", "unpickles celery"}
    assert {line.partition(".")[0] for line in seen} <= own, seen
    assert "unpickles billiard" in {line.partition(".")[0] for line in seen}, "the hook is there"


def words(folder: Path) -> str:
    return (folder / "worker.log").read_text()
