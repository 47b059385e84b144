"""Images' bytes in, a row each out, looked at by a child process: its death, its silence and its memory are seen.

The child, `python -m chaos.fuzz.reading FOLDER MAX_PIXELS`, takes a line of file names, looks at those files with
the real pipeline and the real cascade detector, and says before each which one it is at.
"""

from __future__ import annotations

import json
import os
import queue
import resource
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

#: Seconds. No small file may take this long, however it is damaged.
PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Row:
    """`code` is None for an image that was looked at."""

    code: str | None
    error: str | None
    width: int | None
    height: int | None


def is_unforeseen(code: str | None, error: str | None) -> bool:
    """A row that saved its shard, and yet shows a fault of ours: damage has codes of its own."""
    return code in ("crashed", "detector_error", "out_of_memory") or "reading it raised" in (error or "")


class ReaderError(Exception):
    """The child died, raised, kept silent, or did not answer with a row each. `at` is the image it was at."""

    def __init__(self, text: str, at: int) -> None:
        super().__init__(text)
        self.at = at


class Reader:
    """One child process, started again after it has died. Use as a context manager."""

    def __init__(self, max_pixels: int) -> None:
        self._max_pixels = max_pixels
        self._folder = tempfile.TemporaryDirectory()
        self._child: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[str] = queue.Queue()
        #: What the child and its codecs complain of. Not a pipe, which would fill up and hold it.
        self._words = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the reader
        #: Bytes. Resident at its most, since the child's start; and before it had seen any image.
        self.peak = self.first = 0

    def read(self, images: Sequence[bytes]) -> list[Row]:
        """Raises ReaderError."""
        child = self._child or self._begin()
        assert child.stdin is not None
        names = [f"{number}.img" for number in range(len(images))]
        for name, data in zip(names, images, strict=True):
            Path(self._folder.name, name).write_bytes(data)
        child.stdin.write(json.dumps(names) + "\n")
        child.stdin.flush()
        at = 0
        while "rows" not in (said := self._next(at)):
            at = said["at"]
        rows = [Row(**row) for row in said["rows"]]
        if len(rows) != len(images):
            raise ReaderError(f"{len(images)} images, {len(rows)} rows", at)
        self.peak = said["peak"]
        return rows

    def _begin(self) -> subprocess.Popen[str]:
        self._lines = queue.Queue()
        child = subprocess.Popen(
            [sys.executable, "-m", "chaos.fuzz.reading", self._folder.name, str(self._max_pixels)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            text=True,
        )
        self._child = child
        threading.Thread(target=_pump, args=(child, self._lines), daemon=True).start()
        self.first = self.peak = self._next(0)["peak"]
        return child

    def _next(self, at: int) -> dict[str, Any]:
        assert self._child is not None
        try:
            line = self._lines.get(timeout=PATIENCE_S)
        except queue.Empty:
            self.end()
            raise ReaderError(f"no answer for {PATIENCE_S:g} s", at) from None
        if line:
            said: dict[str, Any] = json.loads(line)
            return said
        code = self._child.wait()
        self.end()
        raise ReaderError(f"the process ended with {code}: {' '.join(self._last_words())}", at)

    def _last_words(self) -> list[str]:
        self._words.seek(0)
        return self._words.read().strip().splitlines()[-1:]

    def end(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
        self._words.close()
        self._folder.cleanup()


def _pump(child: subprocess.Popen[str], lines: queue.Queue[str]) -> None:
    """The child's lines, then an empty one."""
    assert child.stdout is not None
    for line in child.stdout:
        lines.put(line)
    lines.put("")


def _say(**what: object) -> None:
    # ru_maxrss is in KiB on Linux and in bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    print(json.dumps({**what, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}), flush=True)


def main() -> None:
    from common import datasets
    from jobs.detect.detectors import load
    from jobs.detect.detectors.base import DetectOptions
    from worker.pool import pipeline, process

    folder, max_pixels = os.fsencode(sys.argv[1]), int(sys.argv[2])
    process.one_thread()
    detector = load.load("cascade", cache_dir=Path(sys.argv[1]))
    job = pipeline.Job(
        detector=detector,
        options=DetectOptions(iou=detector.info.default_iou, floor=detector.info.default_conf),
        max_pixels=max_pixels,
        fetch=lambda path: datasets.fetch(folder, path),
    )
    _say(at=0)

    def before(looked: pipeline.Looked) -> bool:
        _say(at=len(looked.records))
        return True

    for line in sys.stdin:
        paths = [os.fsencode(name) for name in json.loads(line)]
        records = pipeline.look_at(paths, job, before).records
        rows = [{"code": r.error_code, "error": r.error, "width": r.width, "height": r.height} for r in records]
        _say(rows=rows)


if __name__ == "__main__":
    main()
