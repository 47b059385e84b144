"""A variant's name and a folder in, what it found and when out: every way to do the work that is not the pipeline.

Each runs as a command of its own, `python -m benchmarks.variants NAME DETECTOR FOLDER PROCESSES REPORT`, so that none
inherits a loaded engine and each one's memory and start-up can be seen.
"""

from __future__ import annotations

import multiprocessing
import queue
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path

from benchmarks import looking, tutorial
from benchmarks.looking import Looker, Seen
from benchmarks.report import Report

#: Set in each process of a pool by its initializer: what looks, and what loads its network once more.
_looker: Looker
_loader: Callable[[], tutorial.Infer]


@dataclass(frozen=True, slots=True)
class Work:
    """The same for every variant."""

    detector: str
    paths: Sequence[Path]
    processes: int


@dataclass(frozen=True, slots=True)
class Done:
    """What was seen, and when the caller had the first and the last of it."""

    seen: Sequence[Seen]
    first: float
    ended: float


def sequential(work: Work) -> Done:
    """A loop."""
    looker = looking.load(work.detector)
    seen = [looker.look(path) for path in work.paths]
    return Done(seen, seen[0].ended, time.monotonic())


def threads(work: Work) -> Done:
    """A thread a core, each with a model of its own."""
    return _threads(work, [looking.load(work.detector) for _ in range(work.processes)], nullcontext())


def threads_lock(work: Work) -> Done:
    """A thread a core, and one model that one of them may use at a time."""
    return _threads(work, [looking.load(work.detector)] * work.processes, threading.Lock())


def _threads(work: Work, lookers: Sequence[Looker], guard: threading.Lock | nullcontext[None]) -> Done:
    spare: queue.SimpleQueue[Looker] = queue.SimpleQueue()
    for looker in lookers:
        spare.put(looker)
    mine = threading.local()

    def begin() -> None:
        mine.looker = spare.get()

    def detect(path: Path) -> Seen:
        looker: Looker = mine.looker
        return looker.look(path, guard=guard)

    with ThreadPoolExecutor(len(lookers), initializer=begin) as pool:
        seen = list(pool.map(detect, work.paths))
    return Done(seen, min(one.ended for one in seen), time.monotonic())


def pool_per_call(work: Work) -> Done:
    """`Pool.starmap` as the tutorials have it: the function that detects loads the network, at every call.

    The pool's initializer loads the detector too, for its head and labels; that is before the clock runs.
    """
    return _starmap(work, _detect_after_loading)


def pool(work: Work) -> Done:
    """`Pool.starmap` with the model loaded once a process, by the pool's initializer."""
    return _starmap(work, _detect)


def _starmap(work: Work, detect: Callable[[Path], Seen]) -> Done:
    with multiprocessing.Pool(work.processes, _load, (work.detector,)) as workers:
        seen = workers.starmap(detect, [(path,) for path in work.paths])
    ended = time.monotonic()
    # `starmap` hands over nothing before it has everything.
    return Done(seen, ended, ended)


def _load(detector: str) -> None:
    global _looker, _loader
    _looker = looking.load(detector)
    _loader = tutorial.loader(detector, _looker.detector)


def _detect(path: Path) -> Seen:
    return _looker.look(path)


def _detect_after_loading(path: Path) -> Seen:
    return _looker.look(path, load=_loader)


def ideal(work: Work) -> Done:
    """A process a core, each with its share from the start; they begin together, and talk only when all is done."""
    together = multiprocessing.Barrier(work.processes)
    readers, children = [], []
    for number in range(work.processes):
        reader, writer = multiprocessing.Pipe(duplex=False)
        share = work.paths[number :: work.processes]
        children.append(multiprocessing.Process(target=_do_share, args=(work.detector, share, together, writer)))
        children[-1].start()
        writer.close()
        readers.append(reader)
    seen = [one for reader in readers for one in reader.recv()]
    for child in children:
        child.join()
    return Done(seen, min(one.ended for one in seen), max(one.ended for one in seen))


def _do_share(detector: str, share: Sequence[Path], together: Barrier, writer: Connection) -> None:
    try:
        looker = looking.load(detector)
    except BaseException:
        together.abort()
        raise
    together.wait()
    writer.send([looker.look(path) for path in share])


VARIANTS: dict[str, Callable[[Work], Done]] = {
    "sequential": sequential,
    "threads": threads,
    "threads-lock": threads_lock,
    "pool-per-call": pool_per_call,
    "pool": pool,
    "ideal": ideal,
}


def main(arguments: Sequence[str]) -> None:
    name, detector, folder, processes, report = arguments
    done = VARIANTS[name](Work(detector, sorted(Path(folder).iterdir()), int(processes)))
    Report(
        began=min(one.began for one in done.seen),
        first=done.first,
        ended=done.ended,
        fingerprints={one.name: one.fingerprint for one in done.seen},
    ).write(Path(report))


if __name__ == "__main__":
    main(sys.argv[1:])
