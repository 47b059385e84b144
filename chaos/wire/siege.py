"""A plan in, an outcome out: a worker, a quiet run, then the same run while hostile messages come by raw commands."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import cast

import psutil
import redis

from chaos import pictures, plugin
from chaos.broker import Broker
from chaos.driver import Driver
from chaos.fleet import PROCESSES, Fleet, Serving
from chaos.fuzz.watch import peak
from chaos.receipt import Receipt, compare
from chaos.sight import UNACKED
from chaos.waiting import Waiting
from chaos.wire import prey as captured
from chaos.wire.canary import Canary
from chaos.wire.prey import Prey
from chaos.wire.shots import shot
from common.errors import ManyeyesError
from common.limits import HEARTBEAT_S
from common.protocol import heartbeats
from common.protocol.messages import task_queue
from common.protocol.rejections import REFUSED_KEY, Refused
from producer.rundir.run_directory import RunDir
from worker.intake import message_filter

#: Commands that go out in one go; messages that wait at most, so that the real run has its turn among them.
BATCH, WAITING = 100, 400
#: Seconds for a worker to come, for a run, and for what is left in the queue.
START_S, RUN_S, END_S = 60.0, 900.0, 120.0
#: Seconds an image takes while the siege is ahead of the real run, and while it is behind.
_QUICK_S, _SLOW_S = 0.002, 0.1
#: Bytes of a real message, at most.
_REAL_BYTES = 2000
#: Bytes, resident. A worker's parent holds 90 MB by itself, a pool process 130.
MEMORY = 400 << 20


@dataclass(frozen=True, slots=True)
class Plan:
    count: int
    seed: int
    images: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of each kind how many were sent; how many were refused and why; most bytes that a process held."""

    seconds: float
    sent: dict[str, int]
    refused: dict[str, int]
    #: That had to be refused, by the reasons that they had to be refused for.
    due: dict[str, int]
    parent_bytes: int
    process_bytes: int
    log_bytes: int
    receipt: Receipt
    faults: list[str] = field(default_factory=list)

    def text(self) -> str:
        sent, refused = sum(self.sent.values()), sum(self.refused.values())
        lines = [
            f"{sent:,} hostile messages in {self.seconds:.0f} s ({sent / self.seconds:,.0f}/s): {refused:,} refused"
        ]
        lines += [f"  {count:8,}  {kind}" for kind, count in sorted(self.sent.items())]
        lines += [f"  {count:8,}  refused: {reason}" for reason, count in sorted(self.refused.items())]
        held = f"{self.parent_bytes >> 20} MB the worker's parent, {self.process_bytes >> 20} MB a process"
        lines.append(f"most memory: {held}; the worker's log: {self.log_bytes / 1e6:.1f} MB")
        same = "the same bytes" if self.receipt.clean else "NOT the same bytes"
        lines.append(f"the real run beside them: {self.receipt.images:,} images, {same}")
        return "\n".join(lines)


def _real(raw: bytes, prey: Prey) -> bool:
    """Of the run beside, and not one of our own mutants that nobody would take, or that has grown."""
    if len(raw) > _REAL_BYTES or prey.beside.encode() not in raw:
        return False
    try:
        return bool(message_filter.task(raw, task_queue(prey.queue)))
    except Refused:
        return False


class Siege:
    """Everything it makes lies in `folder`; everything it starts has ended when `hold` returns."""

    def __init__(self, plan: Plan, folder: Path, say: Callable[[str], None]) -> None:
        self._plan = plan
        self._folder = folder.resolve()
        self._say = say
        self._logs = self._folder / "logs"
        self._waiting = Waiting(self._logs)
        self._pace = self._folder / "pace"
        self._peaks: dict[int, int] = {}
        self._sent: Counter[str] = Counter()
        self._due: Counter[str] = Counter()

    def hold(self) -> Outcome:
        """Raises ManyeyesError where not even the quiet run succeeds."""
        self._logs.mkdir(parents=True)
        plugin.set_pace(self._pace, _QUICK_S)
        images = self._plan.images or max(200, self._plan.count // 10)
        dataset = pictures.make(self._folder / "pictures", images, self._plan.seed, ())
        environment = plugin.install(self._folder / "plugin", self._pace)
        with ExitStack() as stack:
            broker = Broker(self._logs / "broker.log")
            stack.callback(broker.close)
            broker.start()
            fleet = Fleet(1, Serving(broker.url, environment, self._logs, ("--root", str(dataset.folder))))
            stack.callback(fleet.close)
            self._waiting.wait(
                lambda: len(heartbeats.live_processes(broker.client)) == PROCESSES, START_S, "the worker"
            )
            before = self._pids(fleet)

            def driver(name: str) -> Driver:
                log = self._logs / f"{name}.log"
                one = Driver(dataset.folder, self._folder / name, broker.url, environment, log)
                stack.callback(one.close)
                one.submit()
                return one

            quiet = driver("quiet")
            self._waiting.wait(lambda: quiet.process is None, RUN_S, "the quiet run", quiet.tick)
            if not quiet.finished or quiet.rundir is None:
                raise ManyeyesError(f"the quiet run did not succeed; {quiet.log} says why")
            self._say(f"quiet run: {images:,} images")
            canary = Canary(self._folder / "canary", next(dataset.folder.rglob("*.jpg")).read_bytes())
            stack.callback(canary.close)
            # Not over before it was seen to be listed.
            plugin.set_pace(self._pace, _SLOW_S)
            beside = driver("beside")
            self._waiting.wait(lambda: beside.rundir is not None, START_S, "the run beside")
            prey = self._prey(broker, quiet.rundir, beside, canary)
            # No picture of the run beside: that one was listed without it.
            self._waiting.wait(
                lambda: beside.rundir is None or beside.rundir.progress().get("items") is not None,
                START_S,
                "its listing",
            )
            (dataset.folder / prey.link).symlink_to(canary.file)
            begun = time.monotonic()
            self._storm(broker.client, prey, fleet, beside, images)
            seconds = time.monotonic() - begun
            plugin.set_pace(self._pace, 0.0)
            self._waiting.wait(lambda: beside.process is None, RUN_S, "the run beside", beside.tick)
            self._waiting.wait(lambda: self._quiet(broker.client, prey), END_S, "an empty queue")
            self._look(fleet)
            # What was refused is told with the worker's heartbeat.
            time.sleep(3 * HEARTBEAT_S)
            return self._outcome(seconds, before, (fleet, broker.client, prey, canary), (quiet, beside))

    def _prey(self, broker: Broker, run: RunDir, beside: Driver, canary: Canary) -> Prey:
        assert beside.rundir is not None
        spec = run.spec()
        channel, command = captured.command(broker.client, broker.url)
        return Prey(
            queue=spec.queue,
            run=run.run,
            spec=spec,
            tasks=captured.tasks(broker.client, broker.url, run.run, spec),
            channel=channel,
            command=command,
            canary=str(canary.file),
            witness=str(self._folder / "witness"),
            link="link.jpg",
            beside=beside.rundir.run,
        )

    def _storm(self, client: redis.Redis, prey: Prey, fleet: Fleet, beside: Driver, images: int) -> None:
        dice, sent, looked = Random(self._plan.seed), 0, 0.0
        while sent < self._plan.count:
            if time.monotonic() > looked + 0.25:
                looked = time.monotonic()
                self._look(fleet)
                beside.tick()
                self._keep_beside(client, prey, beside, sent / self._plan.count, images)
            if client.llen(prey.list_key) > WAITING:
                time.sleep(0.005)
                continue
            pipe = client.pipeline(transaction=False)
            for _ in range(min(BATCH, self._plan.count - sent)):
                one = shot(dice, prey)
                self._sent[one.kind] += 1
                if one.reason is not None:
                    self._due[one.reason] += 1
                for command in one.commands:
                    pipe.execute_command(*command)  # type: ignore[no-untyped-call]
                sent += 1
            # What is of another type than a forged command wants is the server's to refuse.
            pipe.execute(raise_on_error=False)

    def _keep_beside(self, client: redis.Redis, prey: Prey, beside: Driver, sent: float, images: int) -> None:
        """The real run goes on as long as the siege; and its messages, as they come, are the attacker's too."""
        assert beside.rundir is not None
        done = beside.rundir.progress().get("stored", 0) / images
        plugin.set_pace(self._pace, _SLOW_S if done > sent else _QUICK_S)
        raws = cast("list[bytes]", client.lrange(prey.list_key, 0, WAITING))
        prey.live[:] = ([raw for raw in raws if _real(raw, prey)] + prey.live)[:20]

    def _outcome(
        self,
        seconds: float,
        before: set[int],
        theirs: tuple[Fleet, redis.Redis, Prey, Canary],
        runs: tuple[Driver, Driver],
    ) -> Outcome:
        fleet, client, prey, canary = theirs
        quiet, beside = runs
        assert quiet.rundir is not None and beside.rundir is not None
        counted = cast("dict[bytes, bytes]", client.hgetall(REFUSED_KEY))
        refused = {reason.decode(): int(count) for reason, count in counted.items()}
        [worker] = fleet.workers
        assert worker.process is not None
        log = worker.log.read_text(errors="replace")
        receipt = compare(quiet.rundir, beside.rundir)
        parent = self._peaks.get(worker.process.pid, 0)
        others = max(bytes_ for pid, bytes_ in self._peaks.items() if pid != worker.process.pid)
        faults = [*worker.surprises, *beside.surprises]
        if self._pids(fleet) != before:
            faults.append(f"processes were replaced: {sorted(before)} became {sorted(self._pids(fleet))}")
        if canary.sung():
            faults.append(f"{prey.canary} was opened, outside every root")
        if Path(prey.witness).exists():
            faults.append("code was run that came in a message")
        if not receipt.clean:
            faults.append(f"the run beside is another: {receipt}")
        if max(parent, others) > MEMORY:
            faults.append(f"{max(parent, others) >> 20} MB were held; the bound is {MEMORY >> 20}")
        for reason, due in self._due.items():
            if refused.get(reason, 0) < due:
                faults.append(f"{due} had to be refused as {reason}, and {refused.get(reason, 0)} were")
        if unforeseen := log.count("Traceback"):
            faults.append(f"{unforeseen} tracebacks in {worker.log}")
        return Outcome(
            seconds=round(seconds, 1),
            sent=dict(self._sent),
            refused=refused,
            due=dict(self._due),
            parent_bytes=parent,
            process_bytes=others,
            log_bytes=len(log),
            receipt=receipt,
            faults=faults,
        )

    @staticmethod
    def _quiet(client: redis.Redis, prey: Prey) -> bool:
        """Nothing waits, and nothing is with a worker that has not been acknowledged."""
        return not client.llen(prey.list_key) and not client.hlen(UNACKED)

    def _pids(self, fleet: Fleet) -> set[int]:
        [worker] = fleet.workers
        return {worker.process.pid if worker.process else 0, *(child.pid for child in worker.pool())}

    def _look(self, fleet: Fleet) -> None:
        fleet.tick()
        for pid in self._pids(fleet):
            try:
                self._peaks[pid] = max(self._peaks.get(pid, 0), peak(psutil.Process(pid)))
            except psutil.NoSuchProcess:
                continue
