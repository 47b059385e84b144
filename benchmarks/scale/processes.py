"""A number of processes and their speed in; what a real owner and a real broker need for them out."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import cast

import redis

from benchmarks import clusters, measure
from benchmarks.scale import footprint, nothing, stage
from benchmarks.scale.following import Tail
from benchmarks.scale.steady import Measured, Step, Window
from benchmarks.scale.swarm import Plan
from benchmarks.scale.watching import Server, load, look
from common.broker.connect import PREFIX, connect
from common.errors import ManyeyesError
from common.protocol import heartbeats
from common.protocol.messages import task_queue

#: Seconds for all simulated processes to connect, and for an owner to list a dataset.
_PATIENCE_S = 180.0
#: Seconds between looks at the queues.
_LOOK_S = 0.5
#: Workers are shared out among so many simulators, one a core that is free of broker and owner in turns.
_SIMULATORS = 2


@contextmanager
def _swarm(folder: Path, url: str, step: Step) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The simulators, once all their processes live."""
    workers = -(-step.processes // step.per_worker)
    each = -(-workers // min(_SIMULATORS, workers))
    env = measure.environment()
    with ExitStack() as stack, connect(url) as client:
        children = []
        for number, first in enumerate(range(0, workers, each)):
            out, plan = folder / f"swarm{number}.json", folder / f"plan{number}.json"
            size = min(step.per_worker, step.processes)
            made = Plan(url, first, min(each, workers - first), size, step.image_s, step.detections, str(out))
            plan.write_text(json.dumps(asdict(made)))
            command = [sys.executable, "-m", "benchmarks.scale.swarm", str(plan)]
            children.append(stack.enter_context(stage.started(command, folder, env, f"swarm{number}")))
        count = lambda: cast(int, client.zcard(heartbeats.PROCESSES_KEY)) >= step.processes  # noqa: E731
        clusters.wait_for(count, "the simulated processes", children[0], _PATIENCE_S)
        yield children


def measured(step: Step) -> Measured:
    """Raises ManyeyesError."""
    load_before = load()
    folder = Path(tempfile.mkdtemp(prefix="manyeyes-scale-"))
    try:
        names = folder / "images.txt"
        # They need not be there: nobody opens them.
        names.write_text("".join(f"{n // 1000:06d}/{n:09d}.jpg\n" for n in range(step.items)))
        with stage.broker(folder) as (url, server), _swarm(folder, url, step) as swarm, connect(url) as client:
            # By path: a list of files that are not there is taken as it is only for workers that may see them.
            options = ("--detector", nothing.NAME, "--transport", "path", "--json")
            command = [measure.console_script("producer"), "submit", str(names), *options]
            if step.profile is not None:
                command = [sys.executable, "-m", "cProfile", "-o", str(step.profile), *command]
            env = {**stage.environment(folder, url)}
            with stage.started(command, folder, env, "owner") as owner:
                pids = {"owner": [owner.pid], "broker": [server], "simulators": [child.pid for child in swarm]}
                window = _look(step, folder, client, owner, pids)
                # It takes its leave, resumable, and writes no outputs.
                owner.send_signal(signal.SIGINT)
                owner.wait()
            for child in swarm:
                child.terminate()
                child.wait()
        done = [json.loads(file.read_text()) for file in sorted(folder.glob("swarm[0-9].json"))]
        return window.measured(step, done, load_before)
    except ManyeyesError as error:
        raise ManyeyesError(f"{error}; the owner's last words: {stage.last_words(folder, 'owner')}") from None
    finally:
        shutil.rmtree(folder)


def _look(
    step: Step, folder: Path, client: redis.Redis, owner: subprocess.Popen[bytes], pids: dict[str, list[int]]
) -> Window:
    """Wait for the steady state, then look at it; or at the whole run."""
    clusters.wait_for(lambda: any((folder / "runs").glob("*/journal.bin")), "the run", owner, _PATIENCE_S)
    [path] = (folder / "runs").glob("*/journal.bin")
    run, window, tail = path.parent.name, Window(), Tail(path)
    tail.start()
    queue = f"{PREFIX}{task_queue(nothing.info().queue)}"
    if step.whole is None:
        clusters.wait_for(lambda: tail.seen != [], "the first result", owner, _PATIENCE_S)
        _wait(step.settle_s, owner)
    used = _used(pids)
    window.mark(Server.look(client), used)
    until = time.monotonic() + (step.seconds if step.whole is None else float("inf"))
    while time.monotonic() < until and tail.items < step.items:
        if owner.poll() is not None:
            raise ManyeyesError("the owner has ended")
        window.note(client, queue, run)
        footprint.note_shard(window.shards, client, run)
        used = _used(pids, used)
        time.sleep(_LOOK_S)
    window.mark(Server.look(client), _used(pids, used))
    window.heartbeat_bytes = footprint.of_heartbeat(client)
    window.collected = tail.end()
    return window


def _wait(seconds: float, owner: subprocess.Popen[bytes]) -> None:
    try:
        owner.wait(seconds)
    except subprocess.TimeoutExpired:
        return
    raise ManyeyesError("the owner ended before its speed was steady;")


Used = dict[str, tuple[float, int]]


def _used(pids: dict[str, list[int]], before: Used | None = None) -> Used:
    """Of what has ended meanwhile: as it was before. The owner ends as soon as all is collected."""
    found = {}
    for name, ones in pids.items():
        seen = [look(pid) for pid in ones]
        now = (sum(one.cpu_s for one in seen), sum(one.rss for one in seen))
        found[name] = before[name] if before and not now[1] else now
    return found
