"""How far a run is: what the bar, `watch`, `status` and progress.json show."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass

#: Looks, one a second, over which the speed that is shown is taken.
_LOOKS = 30
#: Images without one box, from which on a user is told.
ENOUGH = 100


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: what the bar, `watch`, `status` and progress.json show. Counts are images."""

    run: str
    state: str
    #: None while the dataset is still being listed.
    items: int | None
    done: int
    failed: int
    detections: int
    images_per_s: float
    eta_s: float | None
    workers: int
    processes: int
    open_shards: int
    seconds: float
    at: float
    #: On disk: what a resume need not do again.
    stored: int = 0
    #: Shards that were sent again: processes that died or vanished, messages that were lost.
    sent_again: int = 0
    #: Of the dataset, so far.
    listed: int = 0

    @property
    def looked_at(self) -> int:
        """Images that did not fail, and whose detections are known."""
        return max(0, self.stored - self.failed)

    @property
    def empty(self) -> bool:
        """Whether not one of many images gave a box, down to the floor."""
        return self.detections == 0 and self.looked_at >= ENOUGH

    def to_json(self) -> dict[str, object]:
        return asdict(self)


class Pace:
    """Images done, look by look, in; images per second over the last of them out."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, int]] = deque(maxlen=_LOOKS)

    def at(self, now: float, done: int) -> float:
        """`now` is monotonic seconds."""
        self._looks.append((now, done))
        then, before = self._looks[0]
        return max(0, done - before) / (now - then) if now > then else 0.0
