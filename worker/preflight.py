"""Model names in, their descriptions out: each is loaded and warmed up before a worker serves it.

Run as `python -m worker.preflight` in a short-lived child, so that a model that crashes the engine takes down neither
a worker nor its parent, and so that the parent never loads an engine before it forks.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np

from common.errors import ItemError, ManyeyesError, ModelError, UsageError
from common.protocol.detector_info import DetectorInfo
from common.settings import Settings
from jobs.detect.detectors import load
from jobs.detect.detectors.base import DetectOptions, Detector
from jobs.detect.models import detector_names

#: (height, width) of the made picture that warm-up looks at; a common photograph's.
WARM_UP_SIZE = (480, 640)


def load_all(settings: Settings) -> list[Detector]:
    """Every detector of the settings, loaded and warmed up, with its speed in `info.ms_per_image`.

    Raises ModelError.
    """
    detectors = [_load(text, settings) for text in detector_names.split(settings.detector)]
    names = [detector.info.name for detector in detectors]
    if double := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"two detectors are called {double}; name them apart: --detector a={double}.onnx,b=...")
    return [_warm(detector) for detector in detectors]


def _load(text: str, settings: Settings) -> Detector:
    return load.load(
        text,
        head=settings.head,
        labels=settings.labels,
        weights=settings.weights,
        cache_dir=settings.cache,
        mirror=settings.model_mirror,
    )


def _warm(detector: Detector) -> Detector:
    """The first inference pays for allocations; the second one's time is the speed.

    A network that gives no numbers for a made picture may do so for some photographs only: each image will tell.
    """
    caution = detector.info.caution
    image = np.random.default_rng(0).integers(0, 256, (*WARM_UP_SIZE, 3), np.uint8)
    options = DetectOptions(iou=detector.info.default_iou, floor=detector.info.default_conf)
    for _ in range(2):
        started = time.perf_counter()
        raw = detector.infer(detector.preprocess(image, options))
        try:
            detector.postprocess(raw, image, options)
        except ItemError as error:
            caution = f"With a made picture, {error}. {detector.info.caution}".strip()
        seconds = time.perf_counter() - started
    detector.info = replace(detector.info, ms_per_image=round(seconds * 1000, 3), caution=caution)
    return detector


def start() -> subprocess.Popen[str]:
    """Begin the check in a child, with this process's environment."""
    command = [sys.executable, "-m", "worker.preflight"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(child: subprocess.Popen[str]) -> list[DetectorInfo]:
    """Wait for the check. Raises ModelError with the child's own line, or with the signal that killed it."""
    out, err = child.communicate()
    if child.returncode == 0:
        return [DetectorInfo.from_json(json.loads(line)) for line in out.splitlines()]
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    if lines:
        raise ModelError(lines[-1].removeprefix("error: "))
    if child.returncode < 0:
        name = signal.Signals(-child.returncode).name
        raise ModelError(f"the inference engine died of {name} in its warm-up; is the model file damaged?")
    last = err.strip().splitlines()[-1:] or ["no message"]
    raise ModelError(f"the check of the model failed: {last[0]}")


def main() -> int:
    try:
        for detector in load_all(Settings()):
            print(json.dumps(detector.info.to_json()))
    except ManyeyesError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
