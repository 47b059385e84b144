"""Overdue shards in; sent again, split around the image at fault, or given up as a row with a code, out."""

from __future__ import annotations

import logging
import os
import shlex
from collections import Counter

from common import logs
from common.datasets import whole
from common.errors import ItemCode, ManyeyesError
from common.limits import MAX_ATTEMPTS, MAX_DEATHS, MAX_DROPS, MAX_LOSSES
from common.protocol.ledger import Fate, OpenShard
from common.protocol.messages import ItemRecord, ShardResult
from producer.scheduler.dispatch import Dispatcher, Target
from producer.scheduler.live_processes import Crew
from producer.scheduler.overdue import Overdue, Why

log = logging.getLogger(__name__)

_CODES = {Fate.TIMEOUT: ItemCode.TIMEOUT, Fate.OUT_OF_MEMORY: ItemCode.OUT_OF_MEMORY}


class Remedy:
    """Decides by counts that the ledger keeps with the shard, so that a new owner goes on where the old one was."""

    def __init__(self, target: Target, dispatcher: Dispatcher, crew: Crew, found: Counter[Why]) -> None:
        self._target = target
        self._ledger = target.ledger
        self._dispatcher = dispatcher
        self._crew = crew
        #: How often which evidence was found.
        self._found = found

    def apply(self, overdue: Overdue, blame: bool = True) -> None:
        """Raises ManyeyesError for a shard that was sent too often.

        Without `blame`, a heartbeat that is gone is nobody's fault: the broker was away, and may have lost it.
        """
        shard, why = overdue.shard, overdue.why
        alone = shard.shard.count == 1
        if blame and why is Why.LOST and alone and self._crew.last_item(str(shard.claimed_by), shard.shard) is not None:
            # No worker is left to say so, but its last heartbeat was at this one image.
            why = Why.DIED
        suspect = shard.suspect
        if why is Why.DIED and not alone and suspect is not None:
            # No strike yet: it died in company. Now it must live or die alone.
            log.warning(
                *("a process %s at item %d; the image is tried alone", _how(shard.fate), suspect),
                extra=logs.about(shard=str(shard.shard), attempt=shard.attempt),
            )
            self._found[why] += 1
            self._dispatcher.split(shard.shard, shard.shard.around(suspect))
            return
        # A process that an operator killed in between says nothing of the image.
        killer = shard.fate if shard.fate in _CODES else None
        if why is Why.NOT_LOADED and not self._dispatcher.load_again(shard.shard):
            return  # it waits for room, or goes on in parts
        sent = self._ledger.resend(self._target.token, shard, why, killer)
        if sent is None:
            return
        attempt, times = sent
        self._found[why] += 1
        level = logging.INFO if why is Why.NOT_LOADED else logging.WARNING
        about = logs.about(shard=str(shard.shard), attempt=attempt)
        log.log(
            *(level, "shard %s is sent again (attempt %d): %s", shard.shard, attempt, _because(shard, why)),
            extra=about,
        )
        if attempt > MAX_ATTEMPTS:
            raise ManyeyesError(
                f"shard {shard.shard} was sent {MAX_ATTEMPTS} times and never done; see the workers' logs"
            )
        enough = {Why.DIED: MAX_DEATHS, Why.LOST: MAX_LOSSES, Why.DROPPED: MAX_DROPS}.get(why)
        if enough is None or times < enough or (alone and why is Why.LOST):
            self._dispatcher.send(shard.shard, attempt)
        elif alone:
            self._give_up(shard, attempt, why, times)
        else:
            self._dispatcher.split(shard.shard, shard.shard.halves())

    def _give_up(self, shard: OpenShard, attempt: int, why: Why, times: int) -> None:
        """A row for an image that alone has cost too many processes. The first commit counts, so late results lose."""
        killer = shard.fate if shard.fate in _CODES else shard.killer
        code = _CODES[killer] if killer else ItemCode.CRASHED
        words = {
            ItemCode.TIMEOUT: f"took more than {self._target.spec.image_timeout:g} s (--image-timeout)",
            ItemCode.OUT_OF_MEMORY: "ran out of memory",
            ItemCode.CRASHED: "died" if why is Why.DIED else "gave no result",
        }[code]
        [path] = self._dispatcher.paths(shard.shard)
        file = shlex.quote(os.fsdecode(whole(os.fsencode(self._target.spec.root), path)))
        file = file.encode(errors="backslashreplace").decode()
        again = f"producer submit {file} {self._target.options}"
        text = f"looked at alone, {times} processes {words}; to see it: {again}"
        record = ItemRecord(error_code=code, error=text)
        result = ShardResult(shard.shard, attempt, "owner", 0, (record,), ShardResult.no_detections())
        about = logs.about(shard=str(shard.shard), attempt=attempt)
        log.warning("item %d is given up: %s", shard.shard.first, text, extra=about)
        self._ledger.commit(shard.shard, result.encode())


def _how(fate: Fate | None) -> str:
    return {Fate.TIMEOUT: "was killed for its time", Fate.OUT_OF_MEMORY: "ran out of memory"}.get(
        fate or Fate.CRASHED, "died"
    )


def _because(shard: OpenShard, why: Why) -> str:
    return {
        Why.DIED: f"the process that had it {_how(shard.fate)}",
        Why.LOST: f"the process {shard.claimed_by} that had it is gone",
        Why.HANDED_BACK: "its worker gave it back",
        Why.DROPPED: f"the process {shard.claimed_by} that had it is at something else",
        Why.UNCLAIMED: "nobody has taken it",
        Why.NOT_LOADED: "its images' bytes were not in Redis",
        Why.CUT_OFF: f"{shard.claimed_by} does not reach the cargo server; open its port there, or stop that worker",
        Why.CLOCK: "the broker's clock jumped",
        Why.LONG: "its process has handed back the rest",
        Why.SLOW: f"a second attempt, for {shard.claimed_by} is slow and others idle",
    }[why]
