"""Says that a detector finds nothing at all: mostly it is read with the wrong head, and the run looks clean."""

from __future__ import annotations

from collections.abc import Callable

from common.protocol.detector_info import DetectorInfo
from common.protocol.ledger import RunState
from producer.rundir.progress import ENOUGH, Progress
from producer.rundir.run_directory import RunDir


class EmptinessWatch:
    """Reports progress, and says once while the run goes on that not one of its first images gave a box."""

    def __init__(
        self, report: Callable[[Progress], None], say: Callable[[str], None], words: Callable[[int], str]
    ) -> None:
        self._report = report
        self._say = say
        self._words = words
        self._said = False

    def __call__(self, progress: Progress) -> None:
        self._report(progress)
        if progress.empty and not self._said and not RunState(progress.state).finished:
            self._said = True
            self._say(self._words(progress.looked_at))


def warning(images: int, floor: float, detector: DetectorInfo) -> str:
    """Of so many images that were looked at, when not one gave a box at the floor or above."""
    box, why = f"a box with a score of {floor:g} or more", _why(detector)
    if images >= ENOUGH:
        return f"warning: not one of {images:,} images gave {box}: {why}"
    those = "the image has not given" if images == 1 else f"none of the {images} images gave"
    return f"note: {those} {box}; if there is something to find: {why}"


def while_running(images: int, floor: float, detector: DetectorInfo, rundir: RunDir) -> str:
    return f"{warning(images, floor, detector)}. The run goes on; to stop it:  {rundir.command('cancel')}"


def _why(detector: DetectorInfo) -> str:
    if detector.head != detector.family:
        usual = (
            f"usually the outputs of {detector.name} are not what head {detector.head} reads, it wants another order "
            "of colours or scale of pixels, or it was trained for another kind of image (docs/detectors.md)"
        )
    else:
        usual = f"usually {detector.name} is made for another kind of image"
    return f"{usual}. {detector.caution.rstrip('.')}" if detector.caution else usual
