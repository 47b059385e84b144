"""A stage and a seed in, wounds out: one fault after another, every kind before any comes again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

import redis

from chaos.faults import Fault, Kinds
from chaos.stage import Stage
from chaos.wounds import Wound

#: Seconds between looks at the stage.
LOOK_S = 0.1
#: Seconds without one image more: a hang. However slow the machine, a run that gets on is none.
HANG_S = 150.0
#: Seconds an image, at most: --image-timeout of the run is far above.
SLOWEST_S = 1.0


@dataclass(frozen=True, slots=True)
class Weather:
    seconds: float
    seed: int
    #: Seconds between faults, in the mean.
    every_s: float
    kinds: Kinds


class Storm:
    """Keeps the run going as long as it blows, by the pace of the detector; then lets it run to its end."""

    def __init__(self, stage: Stage, weather: Weather, set_pace: Callable[[float], None], say: Callable[[str], None]):
        self._stage = stage
        self._weather = weather
        self._set_pace = set_pace
        self._say = say
        self._dice = random.Random(weather.seed)
        self._bag: list[Fault] = []
        #: The most images that were seen done, and when.
        self._done, self._got_on = 0, time.monotonic()

    def blow(self, items: int) -> bool:
        """True when the run has ended with complete outputs and every wound has healed; False when something hangs."""
        begun = time.monotonic()
        end = begun + self._weather.seconds
        due, pace_due = begun + self._gap(), 0.0
        while not self._stage.driver.finished:
            self._stage.tick()
            self._tell_healed()
            now = time.monotonic()
            if now >= pace_due:
                pace_due = now + 1
                self._set_pace(self._pace(items, end - now))
            if now >= due and now < end:
                # Not from now on: what had to wait for its victims does not make the faults fewer.
                due = due + self._gap() if self._strike() else due
            if self._hung(now):
                return False
            time.sleep(LOOK_S)
        self._stage.tick()
        self._tell_healed()
        return True

    def _gap(self) -> float:
        return self._dice.uniform(0.5, 1.5) * self._weather.every_s

    def _pace(self, items: int, left_s: float) -> float:
        """Seconds an image, so that there is work until the storm is over and its wounds are healed; then none."""
        stage = self._stage
        if left_s <= 0 and not stage.open_wounds():
            return 0.0
        todo = max(items - stage.tail.done.count, 1)
        return min(max(left_s, 5.0) * stage.fleet.processes / todo, SLOWEST_S)

    def _strike(self) -> bool:
        """The first of the kinds that are left of this round and that find what they strike."""
        stage = self._stage
        if not self._bag:
            self._bag = list(self._weather.kinds.faults)
            self._dice.shuffle(self._bag)
        for fault in filter(lambda one: self._weather.kinds.may(one, stage), self._bag):
            # Before, not after: what comes while a broker is restarted comes after the strike.
            done, struck = stage.tail.done.count, time.monotonic()
            try:
                victims = fault.strike(stage, self._dice)
            except redis.RedisError as error:
                self._say(f"{fault.kind} could not strike: {error}")
                continue
            if victims is None:
                continue
            wound = Wound(fault.kind, victims, struck, done)
            stage.wounds.append(wound)
            self._bag.remove(fault)
            self._say(f"{len(stage.wounds):3d}  {fault.kind} {victims.what}".rstrip())
            return True
        return False

    def _tell_healed(self) -> None:
        for number, wound in enumerate(self._stage.wounds, 1):
            if wound.healed_s is not None and not wound.told:
                wound.told = True
                self._say(f"{number:3d}  healed after {wound.healed_s:.1f} s ({wound.kind})")

    def _hung(self, now: float) -> bool:
        done = self._stage.tail.done.count
        if done > self._done:
            self._done, self._got_on = done, now
        if now - self._got_on <= HANG_S:
            return False
        self._say(f"the run hangs: {done:,} images are done, and none more for {HANG_S:g} s")
        for wound in self._stage.open_wounds():
            self._say(f"{wound.kind} {wound.victims.what} has not healed: {', '.join(wound.missing)}")
        return True
