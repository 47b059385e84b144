"""A plan in, a report out: pictures, broker and workers; a quiet run, the same run in a storm, the receipt."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from chaos import pictures, plugin
from chaos.broker import Broker
from chaos.driver import Driver
from chaos.fleet import PROCESSES, Fleet, Serving
from chaos.poisonable import POISONS
from chaos.receipt import compare
from chaos.report import Report, by_kind
from chaos.sight import JournalTail
from chaos.stage import Stage
from chaos.storm import Storm, Weather
from chaos.waiting import Waiting
from common.errors import ManyeyesError
from common.protocol import heartbeats

#: Images a second of storm, where the plan doesn't say: small shards of few seconds for every process.
IMAGES_PER_S = 40
#: Seconds until the first heartbeats, the first result, and the end of the quiet run.
START_S = 60.0
QUIET_S = 600.0
#: Bounds for poison: seconds an image, megabytes a process.
IMAGE_TIMEOUT_S = 5
MEMORY_LIMIT_MB = 700


@dataclass(frozen=True, slots=True)
class Plan:
    weather: Weather
    workers: int
    images: int
    poison: bool


class Session:
    """Everything it makes lies in `folder`; everything it starts has ended when `hold` returns."""

    def __init__(self, plan: Plan, folder: Path, say: Callable[[str], None]) -> None:
        self._plan = plan
        self._folder = folder
        self._say = say
        self._logs = folder / "logs"
        self._waiting = Waiting(self._logs)
        self._pace = folder / "pace"

    def hold(self) -> Report:
        """Raises ManyeyesError where not even the quiet run succeeds."""
        plan = self._plan
        self._logs.mkdir(parents=True)
        # From the workers' warm-up on: shards are sized by the speed that it measures.
        storm_pace = plan.weather.seconds * PROCESSES * plan.workers / plan.images
        plugin.set_pace(self._pace, storm_pace)
        poisons = tuple(POISONS) if plan.poison else ()
        dataset = pictures.make(self._folder / "pictures", plan.images, plan.weather.seed, poisons)
        environment = plugin.install(self._folder / "plugin", self._pace)
        limits = ("--memory-limit", str(MEMORY_LIMIT_MB)) if plan.poison else ()
        options = ("--root", str(dataset.folder), *limits)
        with ExitStack() as stack:
            broker = Broker(self._logs / "broker.log")
            stack.callback(broker.close)
            broker.start()
            fleet = Fleet(plan.workers, Serving(os.fspath(broker.url_file), environment, self._logs, options))
            stack.callback(fleet.close)
            self._all_beat(broker, fleet)
            begun = time.monotonic()
            plugin.set_pace(self._pace, 0.0)
            quiet = self._driver("quiet", dataset.folder, broker, environment, stack)
            self._waiting.wait(lambda: quiet.process is None, QUIET_S, "the quiet run's end", quiet.tick)
            if not quiet.finished or quiet.rundir is None:
                raise ManyeyesError(f"the quiet run did not succeed; {quiet.log} says why")
            quiet_s = time.monotonic() - begun
            self._say(f"quiet run: {plan.images:,} images in {quiet_s:.0f} s")
            plugin.set_pace(self._pace, storm_pace)
            if plan.poison:
                # Processes that took the place of poisoned ones have measured the quiet run's pace at their warm-up: a
                # resumed producer would size shards by it, of minutes each.
                fleet.restart()
                self._all_beat(broker, fleet)
            return self._storm(quiet, quiet_s, self._stage(broker, fleet, dataset.folder, environment, stack))

    def _storm(self, quiet: Driver, quiet_s: float, stage: Stage) -> Report:
        plan, begun = self._plan, time.monotonic()
        storm = Storm(stage, plan.weather, partial(plugin.set_pace, self._pace), self._say)
        ended = storm.blow(plan.images)
        assert quiet.rundir is not None
        surprises = [*stage.driver.surprises, *(line for one in stage.fleet.workers for line in one.surprises)]
        return Report(
            seed=plan.weather.seed,
            seconds=round(time.monotonic() - begun, 1),
            quiet_s=round(quiet_s, 1),
            workers=plan.workers,
            processes=stage.fleet.processes,
            kinds=by_kind(stage.wounds),
            resumed=stage.driver.resumed,
            surprises=tuple(surprises),
            ended=ended,
            images=plan.images,
            done=stage.tail.done.count,
            receipt=compare(quiet.rundir, stage.rundir) if ended else None,
        )

    def _stage(
        self, broker: Broker, fleet: Fleet, dataset: Path, environment: dict[str, str], stack: ExitStack
    ) -> Stage:
        """With a run that has its first result."""
        driver = self._driver("storm", dataset, broker, environment, stack)
        self._waiting.wait(lambda: bool(driver.rundir), START_S, "the run")
        rundir = driver.rundir
        assert rundir is not None
        tail = JournalTail(rundir.journal)
        self._waiting.wait(lambda: tail.done.count > 0 or not driver.running, START_S, "the first result", tail.read)
        return Stage(broker, fleet, driver, rundir, rundir.spec().queue, tail)

    def _driver(
        self, name: str, dataset: Path, broker: Broker, environment: dict[str, str], stack: ExitStack
    ) -> Driver:
        options = ("--image-timeout", str(IMAGE_TIMEOUT_S)) if self._plan.poison else ()
        output, log = self._folder / name, self._logs / f"{name}.log"
        driver = Driver(dataset, output, os.fspath(broker.url_file), environment, log, options)
        stack.callback(driver.close)
        driver.submit()
        return driver

    def _all_beat(self, broker: Broker, fleet: Fleet) -> None:
        def beat() -> bool:
            return len(heartbeats.live_processes(broker.client)) == fleet.processes

        self._waiting.wait(beat, START_S, "the workers' heartbeats")
