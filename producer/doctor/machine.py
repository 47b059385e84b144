"""This machine in: its disk, its packages, its limits, and the dataset as it is seen from here, out."""

from __future__ import annotations

import os
import platform
import resource
import shutil
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path

from common import __version__
from common.datasets import Dataset, open_dataset
from common.errors import BrokerError, ManyeyesError
from producer.cluster import valkey
from producer.doctor.finding import Finding, failed, note, ok, warning

#: Bytes. A run of a million images with 17 boxes each leaves 1 GB.
_LITTLE_DISK, _NO_DISK = 2 << 30, 200 << 20
#: Files that a producer may have open, with a connection for each thread and Celery's pool.
_FEW_FILES = 256


def findings(output: Path) -> Iterator[Finding]:
    yield ok("manyeyes", f"{__version__}, Python {platform.python_version()}")
    yield _opencv()
    yield _disk(output)
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if files < _FEW_FILES:
        yield warning("open files", f"at most {files} are allowed", "raise it:  ulimit -n 1024")
    try:
        valkey.server_path()
    except BrokerError as error:
        yield note("embedded broker", str(error))


def _opencv() -> Finding:
    """Two wheels that hold the same module: the one installed last is half over the other."""
    found = []
    for package in (f"opencv-{kind}python{end}" for kind in ("", "contrib-") for end in ("-headless", "")):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    if len(found) > 1:
        return failed(
            "opencv",
            f"{' and '.join(found)} lie over each other",
            "pip uninstall all of them, then pip install --force-reinstall opencv-python-headless",
        )
    return ok("opencv", found[0] if found else "built by hand")


def _disk(output: Path) -> Finding:
    """Of the folder for run directories, or of what it will be made in."""
    folder = next(one for one in (output.absolute(), *output.absolute().parents) if one.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        return failed("disk", f"{folder} cannot be written to", "choose another --output")
    free, inodes = shutil.disk_usage(folder).free, os.statvfs(folder)
    words = f"{free / 1e9:.1f} GB free for runs in {output}"
    if free < _NO_DISK or (inodes.f_files > 0 and inodes.f_favail < 1000):
        return failed("disk", words + (", and hardly a file more" if free >= _NO_DISK else ""), "make room there")
    if free < _LITTLE_DISK:
        return warning("disk", words, "a run of a million images takes about 1 GB: make room there")
    return ok("disk", words)


def look_at(datasets: Sequence[str]) -> tuple[Dataset | None, Finding]:
    """The dataset, and how its first images are seen from here."""
    try:
        dataset = open_dataset(datasets)
        first = list(islice(dataset.items(), 1))
    except (ManyeyesError, OSError) as error:
        return None, failed("dataset", str(error), "correct it, or see docs/datasets.md")
    if not first:
        return None, failed("dataset", f"no image in {', '.join(datasets)}", "name a folder with images")
    return dataset, ok("dataset", f"{', '.join(datasets)} can be listed here")
