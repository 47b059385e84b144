"""The producer: killed, or interrupted as by Ctrl-C; a moment later `producer resume` goes on."""

from __future__ import annotations

import random
import signal
from dataclasses import dataclass

from chaos.stage import Stage
from chaos.wounds import Victims


@dataclass(frozen=True, slots=True)
class StopProducer:
    kind: str
    how: signal.Signals

    def strike(self, stage: Stage, dice: random.Random) -> Victims | None:
        hurt = any(wound.victims.producer for wound in stage.open_wounds())
        if hurt or not stage.driver.running:
            return None
        victims = Victims(shards=stage.open(), producer=True)
        stage.driver.kill(self.how)
        return victims


FAULTS = (StopProducer("kill producer", signal.SIGKILL), StopProducer("interrupt producer", signal.SIGINT))
